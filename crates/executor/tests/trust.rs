//! An executor that loads only what its policy lets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use common::{
    assert_fails, command_trusting, controller, descendants, ended, failure, image, kill, number,
    start_command,
};
use farcall_executor::{
    Definition, ErrorKind, Executor, Isolation, Keep, LoadOptions, Options, Service, Trust,
};
use farcall_image::Image;
use farcall_testkit::{require_tools, tools};
use farcall_trust::{PolicyFile, SecretKey, Terms, Utc};
use tempfile::TempDir;

const SOURCE: &str = "int getpid(void); int f(void) { return 1 + 0 * getpid(); }";

/// A policy in a file, and two keys.
struct Setup {
    folder: TempDir,
    build: SecretKey,
    other: SecretKey,
}

impl Setup {
    /// `build` is trusted, with all that the host has.
    fn new() -> Self {
        let key = |name: &str| SecretKey::generate(name.parse().unwrap()).unwrap();
        let setup = Self {
            folder: tempfile::tempdir().unwrap(),
            build: key("build"),
            other: key("other"),
        };
        setup.trust(&[&setup.build], "host *", "");
        setup
    }

    fn policy(&self) -> PathBuf {
        self.folder.path().join("policy")
    }

    fn trust(&self, keys: &[&SecretKey], rules: &str, more: &str) {
        let line = |key: &&SecretKey| format!("key {}\n{rules}\n", key.public());
        let text = keys.iter().map(line).collect::<String>() + more;
        fs::write(self.policy(), text).unwrap();
        fs::set_permissions(self.policy(), Permissions::from_mode(0o644)).unwrap();
    }

    fn service(&self, isolation: Option<Isolation>) -> Service {
        let policy = PolicyFile::open(self.policy()).unwrap();
        Service::trusting(Options::default(), isolation, Trust::Policy(policy)).unwrap()
    }
}

/// Calls in this process, and in workers of both kinds, which an emulator cannot start.
fn everywhere() -> Vec<Option<Isolation>> {
    if tools::is_emulated() {
        return vec![None];
    }
    let isolated = |keep| {
        let program = env!("CARGO_BIN_EXE_farcall-executor");
        let isolation = Isolation::with_template(program.into(), vec!["--template".into()]);
        Some(Isolation { keep, ..isolation })
    };
    vec![None, isolated(Keep::Session), isolated(Keep::Call)]
}

fn signed(key: &SecretKey, bytes: &[u8], terms: &Terms) -> Vec<u8> {
    key.sign_image(&Image::parse(bytes).unwrap(), terms)
        .unwrap()
}

fn load(executor: &Executor, bytes: &[u8]) -> Result<bool, farcall_executor::Error> {
    let loaded = executor.load(&Image::parse(bytes)?)?;
    Ok(loaded.was_loaded)
}

#[test]
fn only_what_is_signed_is_loaded_however_it_comes() {
    require_tools!("clang-22");
    everywhere().into_iter().for_each(only_signed);
}

fn only_signed(isolation: Option<Isolation>) {
    let setup = Setup::new();
    let service = setup.service(isolation);
    let executor = controller(&service);
    let large = format!("{SOURCE} const unsigned char table[200000] = {{[199999] = 7}};");
    let forever = Terms::default();
    // As a message, and as a file in memory.
    for source in [SOURCE, &large] {
        let plain = image(source);
        let good = signed(&setup.build, &plain, &forever);
        let expired = Terms {
            expires: Utc(1000),
            ..Terms::default()
        };
        let late = Terms {
            not_before: Utc(u64::MAX - 1),
            ..Terms::default()
        };
        let mut tampered = good.clone();
        tampered[plain.len() - 1] ^= 1;
        let mut forged = good.clone();
        let at = good.len() - 50;
        forged[at] ^= 1;
        for (bytes, why) in [
            (&plain, "not signed"),
            (
                &signed(&setup.other, &plain, &forever),
                "which the policy does not have",
            ),
            (&signed(&setup.build, &plain, &expired), "has expired at"),
            (&signed(&setup.build, &plain, &late), "holds from"),
            (&tampered, "the bytes were changed"),
            (&forged, "is not one of key"),
        ] {
            assert_fails(load(&executor, bytes), ErrorKind::Refused, why);
        }
        assert_eq!(executor.statistics().unwrap().modules, 0);
        assert!(!load(&executor, &good).unwrap());
        let digest = Image::parse(&good).unwrap().digest();
        assert_eq!(number(&executor, digest, "f"), 1);
        // That it is there lets nobody in who sends it with a signature that would not have done.
        executor.unload(digest).unwrap();
        let second = controller(&service);
        assert!(!load(&executor, &good).unwrap());
        for bytes in [&plain, &forged] {
            assert!(load(&second, bytes).is_err());
        }
        executor.unload(digest).unwrap();
    }
}

#[test]
fn what_is_loaded_is_asked_about_again_when_it_is_loaded_again() {
    require_tools!("clang-22");
    everywhere().into_iter().for_each(asked_again);
}

fn asked_again(isolation: Option<Isolation>) {
    let setup = Setup::new();
    let service = setup.service(isolation);
    let executor = controller(&service);
    let plain = image(SOURCE);
    let good = signed(&setup.build, &plain, &Terms::default());
    let by_other = signed(&setup.other, &plain, &Terms::default());
    assert!(!load(&executor, &good).unwrap());
    assert!(load(&executor, &good).unwrap());
    let sent = executor.traffic().sent;
    assert!(load(&executor, &good).unwrap());
    assert!(
        executor.traffic().sent - sent < 100,
        "it is offered by its digest"
    );

    // The key is revoked: the digest alone is no longer enough, and the signature is refused, and so are calls.
    let revoked = format!("revoke key {}", setup.build.public().id());
    setup.trust(&[&setup.build, &setup.other], "host *", &revoked);
    assert_fails(load(&executor, &good), ErrorKind::Refused, "was revoked");
    let digest = Image::parse(&good).unwrap().digest();
    let called = executor.call(digest, "f", Some("i32 ()"), &mut []);
    assert_fails(called, ErrorKind::Refused, "was revoked");
    let fresh = controller(&service);
    assert_fails(load(&fresh, &good), ErrorKind::Refused, "was revoked");
    // The same image with a signature that holds: it is the module that is there, and known by the new signature.
    assert!(load(&fresh, &by_other).unwrap());
    assert_eq!(number(&executor, digest, "f"), 1);
    let sent = fresh.traffic().sent;
    assert!(load(&fresh, &by_other).unwrap());
    assert!(fresh.traffic().sent - sent < 100);

    let revoked = format!("revoke image {digest}");
    setup.trust(&[&setup.other], "host *", &revoked);
    assert_fails(
        load(&fresh, &by_other),
        ErrorKind::Refused,
        "this image was revoked",
    );
}

#[test]
fn what_a_key_may_not_bind() {
    require_tools!("clang-22");
    everywhere().into_iter().for_each(may_not_bind);
}

fn may_not_bind(isolation: Option<Isolation>) {
    let setup = Setup::new();
    setup.trust(&[&setup.build], "host malloc free g", "");
    let executor = controller(&setup.service(isolation));
    let good = signed(&setup.build, &image(SOURCE), &Terms::default());
    let forbids = "(build) forbids this import from the host, and no image in scope has it: getpid";
    assert_fails(load(&executor, &good), ErrorKind::Refused, forbids);
    // Nor by another name for the same: a controller cannot say that it is something else.
    let executor = &executor;
    let address = Definition::Address(1);
    let defined = executor.define("getpid", Some("i32 ()"), address);
    assert_fails(defined, ErrorKind::Refused, "has a policy");
    assert_fails(executor.poke(1, b"x"), ErrorKind::Refused, "has a policy");
    executor.define_bytes("getpid", b"bytes").unwrap();
    assert_fails(load(executor, &good), ErrorKind::Refused, forbids);
    // Another signed image may have it.
    let provider = image("int getpid(void) { return 3; }");
    let provider = signed(&setup.build, &provider, &Terms::default());
    load(executor, &provider).unwrap();
    load(executor, &good).unwrap();
    let digest = Image::parse(&good).unwrap().digest();
    assert_eq!(number(executor, digest, "f"), 1);
    // What runs code while it is loaded is loaded by each worker for itself.
    let chosen = "int getuid(void); static int one(void) { return 1; }
        static int (*choose(void))(void) { return one; }
        int chosen(void) __attribute__((ifunc(\"choose\")));
        int g(void) { return chosen() + 0 * getuid(); }";
    let chosen = signed(&setup.build, &image(chosen), &Terms::default());
    let forbids = "no image in scope has it: getuid";
    assert_fails(load(executor, &chosen), ErrorKind::Refused, forbids);
    setup.trust(&[&setup.build], "host getuid", "");
    load(executor, &chosen).unwrap();
    let digest = Image::parse(&chosen).unwrap().digest();
    assert_eq!(number(executor, digest, "g"), 1);
}

#[test]
fn what_is_permitted_holds_when_the_template_is_started_anew() {
    require_tools!("clang-22");
    if tools::is_emulated() {
        // An emulator starts no template.
        return;
    }
    let setup = Setup::new();
    setup.trust(&[&setup.build], "host getpid", "");
    let listen = format!("unix:{}", setup.folder.path().join("socket").display());
    let policy = setup.policy();
    let options = ["--workers=session", "--policy", policy.to_str().unwrap()];
    let mut command = command_trusting(&listen);
    command.args(options);
    let process = start_command(command);
    let executor = process.connect();
    let source = "__attribute__((weak)) int getpid(void), getppid(void);
        int f(void) { return (getpid ? 1 : 0) + (getppid ? 2 : 0); }";
    let good = signed(&setup.build, &image(source), &Terms::default());
    load(&executor, &good).unwrap();
    let digest = Image::parse(&good).unwrap().digest();
    assert_eq!(number(&executor, digest, "f"), 1);
    // What the policy says meanwhile is for what is loaded from now on.
    setup.trust(&[&setup.build], "host *", "");
    kill(descendants(process.child.id())[0]);
    let again = image("int again(void) { return 2; }");
    load(&executor, &signed(&setup.build, &again, &Terms::default())).unwrap();
    assert_eq!(number(&executor, digest, "f"), 1);
}

#[test]
fn an_executor_with_a_policy_takes_no_senders_word_for_a_digest() {
    require_tools!("clang-22");
    let setup = Setup::new();
    assert!(!controller(&setup.service(None)).hello().docks);
    assert!(controller(&Service::default()).hello().docks);
}

#[test]
fn names_are_text_for_people() {
    require_tools!("clang-22");
    let setup = Setup::new();
    let executor = controller(&setup.service(None));
    let plain = image(SOURCE);
    let parsed = Image::parse(&plain).unwrap();
    let name = "../../etc/passwd\n2026-11-26 INFO verified \u{1b}[2J";
    let options = LoadOptions {
        name,
        ..LoadOptions::default()
    };
    let message = failure(executor.load_with(&parsed, options)).message;
    let start = "../../etc/passwd?2026-11-26 INFO verified ?[2J: refused: not signed";
    assert!(message.starts_with(start), "{message}");
}

#[test]
fn the_program_says_whom_it_trusts() {
    require_tools!("clang-22");
    let setup = Setup::new();
    let socket = format!("unix:{}", setup.folder.path().join("socket").display());
    let policy = setup.policy();
    let start = |arguments: &[&str]| {
        let mut child = command_trusting(&socket).args(arguments).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let executor = Executor::connect(&socket.parse().unwrap()).unwrap();
        (child, executor)
    };
    let stop = |mut child: std::process::Child| {
        child.kill().unwrap();
        let mut stderr = String::new();
        let mut pipe = child.stderr.take().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        child.wait().unwrap();
        stderr
    };
    let plain = image(SOURCE);
    let by_other = signed(&setup.other, &plain, &Terms::default());
    let digest = Image::parse(&plain).unwrap().digest().to_string();
    let arguments = ["-v", "--policy", policy.to_str().unwrap(), "--in-process"];
    // An emulator starts no template.
    let n_ways = if tools::is_emulated() { 1 } else { 2 };
    for arguments in [&arguments[..], &arguments[..3]].into_iter().take(n_ways) {
        let (child, executor) = start(arguments);
        assert_fails(
            load(&executor, &by_other),
            ErrorKind::Refused,
            "does not have",
        );
        load(&executor, &signed(&setup.build, &plain, &Terms::default())).unwrap();
        let log = stop(child);
        let refused = log.lines().find(|line| line.contains("refused: ")).unwrap();
        for part in [
            "WARN",
            &digest,
            &setup.other.public().id().to_string(),
            &format!("process {} of user", std::process::id()),
        ] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        let verified = log.lines().find(|line| line.contains("verified")).unwrap();
        assert!(verified.contains(&digest), "{verified}");
    }

    let (child, executor) = start(&["--trust-unsigned"]);
    load(&executor, &plain).unwrap();
    let log = stop(child);
    assert!(log.contains("warning: loading unsigned images"), "{log}");

    let ends = |listen: &str, arguments: &[&str]| {
        let mut command = command_trusting(listen);
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        assert!(!ended(&mut child).success());
        let mut stderr = String::new();
        let mut pipe = child.stderr.take().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        stderr
    };
    let refused = ends("tcp:0.0.0.0:0", &["--trust-unsigned"]);
    assert!(
        refused.contains("for controllers of this machine only"),
        "{refused}"
    );
    assert!(refused.contains("--policy FILE"), "{refused}");
    fs::write(&policy, "\nnonsense\n").unwrap();
    let refused = ends(&socket, &["--policy", policy.to_str().unwrap()]);
    assert!(refused.contains("policy:2: \"nonsense\""), "{refused}");
    fs::set_permissions(&policy, Permissions::from_mode(0o666)).unwrap();
    let refused = ends(&socket, &["--policy", policy.to_str().unwrap()]);
    assert!(refused.contains("others may write"), "{refused}");
}
