//! What an executor says of each load, in its audit and in its log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use common::{assert_fails, image, start_command};
use farcall_executor::{
    Audit, Connection, ErrorKind, Executor, Isolation, LoadOptions, Options, Service, Trust,
};
use farcall_image::Image;
use farcall_testkit::{require_tools, tools};
use farcall_trust::{PolicyFile, SecretKey, Terms};
use rustix::process::Signal;
use serde_json::Value;

const SOURCE: &str = "int f(void) { return 1; }";

fn controller(service: &Service) -> Executor {
    let (own, theirs) = UnixStream::pair().unwrap();
    let service = service.clone();
    thread::spawn(move || service.serve(Connection::unix(theirs)));
    Executor::speak(Connection::unix(own)).unwrap()
}

fn everywhere() -> Vec<Option<Isolation>> {
    let program = env!("CARGO_BIN_EXE_farcall-executor");
    let isolation = Isolation::with_template(program.into(), vec!["--template".into()]);
    match tools::is_emulated() {
        true => vec![None],
        false => vec![None, Some(isolation)],
    }
}

fn load(executor: &Executor, bytes: &[u8], name: &str) -> farcall_executor::Result<bool> {
    let options = LoadOptions {
        name,
        ..LoadOptions::default()
    };
    let loaded = executor.load_with(&Image::parse(bytes)?, options)?;
    Ok(loaded.was_loaded)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let lines = text.lines();
    lines.map(|it| serde_json::from_str(it).unwrap()).collect()
}

fn outcomes(lines: &[Value]) -> Vec<(&str, &str)> {
    lines
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("");
            (text("outcome"), text("reason"))
        })
        .collect()
}

#[test]
fn each_load_has_its_line() {
    require_tools!("clang-22");
    for isolation in everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let audit = Audit::to_file(&path).unwrap();
        let is_isolated = isolation.is_some();
        let service = Service::audited(Options::default(), isolation, Trust::Unsigned, audit);
        let service = service.unwrap();
        let executor = controller(&service);
        let bytes = image(SOURCE);
        let digest = Image::parse(&bytes).unwrap().digest();
        assert!(!load(&executor, &bytes, "a \"name\"\n").unwrap());
        // Another controller has not heard of it when it connects; this one offers it.
        assert!(load(&executor, &bytes, "b").unwrap());
        let missing = image("int nowhere(void); int f(void) { return nowhere(); }");
        assert_fails(load(&executor, &missing, "c"), ErrorKind::Load, "nowhere");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let lines = lines(&path);
        // That it is accepted is said before anybody knows whether it can be loaded.
        let expected = [
            ("accepted", ""),
            ("present", ""),
            ("accepted", ""),
            ("failed", "error"),
        ];
        assert_eq!(outcomes(&lines), expected, "{is_isolated}");
        let first = &lines[0];
        assert_eq!(first["event"], "load");
        assert_eq!(first["digest"], digest.to_string());
        assert_eq!(first["name"], "a \"name\"?");
        assert_eq!(first["bytes"], bytes.len());
        assert_eq!(
            (&first["key"], &first["verified"]),
            (&"unsigned".into(), &false.into())
        );
        assert_eq!(first["peer"]["transport"], "unix");
        assert_eq!(first["peer"]["pid"], std::process::id());
        assert_eq!(first["peer"]["uid"], rustix::process::getuid().as_raw());
        assert!(lines[3]["message"].as_str().unwrap().contains("nowhere"));
    }
}

#[test]
fn what_a_policy_says_is_in_it() {
    require_tools!("clang-22");
    for isolation in everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let policy = folder.path().join("policy");
        let key = |name: &str| SecretKey::generate(name.parse().unwrap()).unwrap();
        let (build, other) = (key("build"), key("other"));
        fs::write(&policy, format!("key {}\n", build.public())).unwrap();
        fs::set_permissions(&policy, Permissions::from_mode(0o644)).unwrap();
        let trust = Trust::Policy(PolicyFile::open(&policy).unwrap());
        let audit = Audit::to_file(&path).unwrap();
        let service = Service::audited(Options::default(), isolation, trust, audit).unwrap();
        let executor = controller(&service);
        let bytes = image(SOURCE);
        let signed = |key: &SecretKey, bytes: &[u8]| {
            let image = Image::parse(bytes).unwrap();
            key.sign_image(&image, &Terms::default()).unwrap()
        };
        let good = signed(&build, &bytes);
        assert_fails(
            load(&executor, &bytes, ""),
            ErrorKind::Refused,
            "not signed",
        );
        let foreign = signed(&other, &bytes);
        assert_fails(
            load(&executor, &foreign, ""),
            ErrorKind::Refused,
            "does not have",
        );
        assert!(!load(&executor, &good, "").unwrap());
        assert!(load(&executor, &good, "").unwrap());
        let importing = signed(
            &build,
            &image("int getpid(void); int f(void) { return getpid(); }"),
        );
        assert_fails(
            load(&executor, &importing, ""),
            ErrorKind::Refused,
            "getpid",
        );
        let lines = lines(&path);
        let expected = [
            ("refused", "unsigned"),
            ("refused", "unknown_key"),
            ("accepted", ""),
            ("present", ""),
            ("accepted", ""),
            ("refused", "import"),
        ];
        assert_eq!(outcomes(&lines), expected);
        let keys: Vec<_> = lines.iter().map(|it| it["key"].as_str().unwrap()).collect();
        let (build, other) = (
            build.public().id().to_string(),
            other.public().id().to_string(),
        );
        assert_eq!(keys, ["unsigned", &other, &build, &build, &build, &build]);
        let verified: Vec<_> = lines
            .iter()
            .map(|it| it["verified"].as_bool().unwrap())
            .collect();
        assert_eq!(verified, [false, false, true, true, true, true]);
        let modules = executor.list().unwrap();
        assert_eq!(modules[0].signer.as_deref(), Some(&*build));
        assert_eq!(executor.statistics().unwrap().refused, 3);
    }
}

/// A full disk: nothing is loaded that nobody would know of, and all goes on when there is room.
#[test]
fn what_cannot_be_written_is_not_loaded() {
    require_tools!("clang-22");
    for isolation in everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let audit = Audit::to_file(&path).unwrap();
        let service = Service::audited(
            Options::default(),
            isolation,
            Trust::Unsigned,
            audit.clone(),
        );
        let service = service.unwrap();
        let executor = controller(&service);
        let marked = folder.path().join("ran");
        let source = format!(
            "int open(const char *, int, int); int f(void) {{ return 1; }}
            __attribute__((constructor)) static void begin(void) {{ open(\"{}\", 0101, 0600); }}",
            marked.display()
        );
        let bytes = image(&source);
        assert_fails(
            load(&executor, &bytes, "m"),
            ErrorKind::Refused,
            "audit cannot be written",
        );
        assert!(!marked.exists(), "none of its code has run");
        assert_eq!(executor.statistics().unwrap().modules, 0);

        // What rotates logs gives the file another name.
        fs::remove_file(&path).unwrap();
        audit.reopen().unwrap();
        assert!(!load(&executor, &bytes, "m").unwrap());
        assert_eq!(outcomes(&lines(&path)), [("accepted", "")]);
        fs::rename(&path, folder.path().join("old")).unwrap();
        audit.reopen().unwrap();
        assert!(load(&executor, &bytes, "m").unwrap());
        assert_eq!(outcomes(&lines(&path)), [("present", "")]);

        // One that is there already is not let in either.
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        audit.reopen().unwrap();
        assert_fails(
            load(&executor, &bytes, "m"),
            ErrorKind::Refused,
            "audit cannot be written",
        );
        // A place where nothing can be opened leaves what was there.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        audit.reopen().unwrap_err();
    }
}

#[test]
fn a_log_has_the_same_for_people_and_for_programs() {
    require_tools!("clang-22");
    let bytes = image(SOURCE);
    let digest = Image::parse(&bytes).unwrap().digest().to_string();
    let log_of = |format: &str| {
        let folder = tempfile::tempdir().unwrap();
        let listen = format!("unix:{}", folder.path().join("s").display());
        let mut with = common::command(&listen);
        with.args(["-v", "--log-format", format]);
        let mut process = start_command(with);
        let executor = process.connect();
        load(&executor, &bytes, "two words").unwrap();
        let other = farcall_image::Digest::from_bytes([7; 32]);
        executor.unload(other).unwrap_err();
        drop(executor);
        process.signal(Signal::TERM);
        process.ended();
        let mut log = String::new();
        process
            .child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        log
    };
    let text = log_of("text");
    let loaded = text
        .lines()
        .find(|it| it.contains("load accepted"))
        .unwrap();
    let (time, rest) = loaded.split_once(' ').unwrap();
    assert_eq!((time.len(), time.ends_with('Z')), (27, true), "{loaded}");
    assert!(
        rest.starts_with(" INFO load accepted name=\"two words\" "),
        "{loaded}"
    );
    assert!(rest.contains(&format!(" digest={digest} ")), "{loaded}");
    assert!(rest.contains(" key=unsigned "), "{loaded}");
    let process = format!("peer=\"process {} of user ", std::process::id());
    assert!(rest.contains(&process), "{loaded}");

    let json = log_of("json");
    // That unsigned images are loaded is said to people, whoever else reads.
    let json = json.lines().filter(|line| !line.starts_with("warning: "));
    let events: Vec<Value> = json.map(|it| serde_json::from_str(it).unwrap()).collect();
    let accepted = events
        .iter()
        .find(|it| it["message"] == "load accepted")
        .unwrap();
    assert_eq!(accepted["level"], "info");
    assert_eq!(accepted["name"], "two words");
    assert_eq!(accepted["digest"], digest);
    assert_eq!(accepted["bytes"], bytes.len());
    assert!(
        accepted["target"]
            .as_str()
            .unwrap()
            .starts_with("farcall_executor")
    );
    assert!(events.iter().any(|it| it["message"] == "connected"));
}

// An emulated executor starts no template.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_crash_is_logged_with_whose_it_is() {
    require_tools!("clang-22");
    let bytes = image(
        "int forges(void) __asm__(\"forges\\n2026-01-01T00:00:00.0Z  INFO load accepted\\x1b[2J\");
         int forges(void) { return *(volatile int *)0; }
         int f(void) { return *(volatile int *)0; }",
    );
    let digest = Image::parse(&bytes).unwrap().digest();
    let folder = tempfile::tempdir().unwrap();
    let mut with = common::command(&format!("unix:{}", folder.path().join("s").display()));
    with.args(["-v", "--workers", "session"]);
    let mut process = start_command(with);
    let executor = process.connect();
    load(&executor, &bytes, "null").unwrap();
    let crash = executor.call(digest, "f", Some("i32 ()"), &mut []);
    assert_fails(crash, ErrorKind::Crashed, "null pointer");
    let name = "forges\n2026-01-01T00:00:00.0Z  INFO load accepted\x1b[2J";
    let crash = executor.call(digest, name, Some("i32 ()"), &mut []);
    assert_fails(crash, ErrorKind::Crashed, "null pointer");
    drop(executor);
    process.signal(Signal::TERM);
    process.ended();
    let mut log = String::new();
    let mut stderr = process.child.stderr.take().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    let mut lines = log
        .lines()
        .skip_while(|line| !line.contains(" WARN null: f: SIGSEGV"));
    let crash = lines.next().unwrap();
    assert!(
        crash.ends_with(&format!(" digest={digest} crashes=1 late=0")),
        "{crash}"
    );
    assert!(lines.next().unwrap().starts_with("  #0 f+0x"), "{log}");
    // Whatever a function is called, its line is none of an event.
    assert!(
        log.contains("\n  2026-01-01T00:00:00.0Z  INFO load accepted?[2J"),
        "{log}"
    );
    assert!(!log.contains("\n2026-01-01"), "{log}");
}

#[test]
fn a_file_that_was_renamed_is_left_alone_after_a_reload() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let [audit, old] = ["audit", "old"].map(|name| folder.path().join(name));
    let listen = format!("unix:{}", folder.path().join("s").display());
    let mut with = common::command(&listen);
    with.args([Path::new("--audit"), &audit]);
    let process = start_command(with);
    let executor = process.connect();
    let bytes = image(SOURCE);
    load(&executor, &bytes, "").unwrap();
    fs::rename(&audit, &old).unwrap();
    process.signal(Signal::HUP);
    common::watch::until("a new file", || audit.exists());
    load(&executor, &bytes, "").unwrap();
    // The file is there before it is the one that is written to.
    common::watch::until("a line", || {
        load(&executor, &bytes, "").unwrap();
        !lines(&audit).is_empty()
    });
    assert_eq!(outcomes(&lines(&old))[0], ("accepted", ""));
    assert!(
        outcomes(&lines(&audit))
            .iter()
            .all(|it| *it == ("present", ""))
    );
}
