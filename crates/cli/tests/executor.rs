//! `farcall executor`: what its options do. They are those of `farcall-executor`, whose tests try what there is to each.

// An emulator starts no template.
#![cfg(target_arch = "x86_64")]
#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Folder, ended, farcall, run};
use farcall::executor::{Argument, Connection, Error, ErrorKind, Order, Value};
use farcall::{Digest, Executor, Image};
use farcall_testkit::require_tools;
use rustix::process::{Pid, Signal, kill_process};

const SOURCE: &str = r#"
    #include <fcntl.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    static int calls;
    int count(void) { return ++calls; }
    int process(void) { return getpid(); }
    int crash(void) { return *(volatile int *)0; }
    int forever(void) { for (;;) pause(); }
    int opens(void) { int file = open("/etc/passwd", O_RDONLY); return file < 0 ? 0 : close(file) + 1; }
    int takes(int mib) {
        char *bytes = malloc((size_t)mib << 20);
        if (!bytes) return 0;
        memset(bytes, 1, (size_t)mib << 20);
        return bytes[mib];
    }
"#;

/// A folder with an image that is `signed`, one that is `plain`, and a `policy` that trusts who signed.
fn setup() -> Folder {
    let folder = Folder::new();
    folder.compile("code.bc", SOURCE, &[]);
    // Another image, because one that is there is not looked at again.
    folder.compile("plain.bc", SOURCE, &["-Dcount=counts"]);
    folder.build("plain", &["plain.bc"]);
    let here = |args: &[&str]| {
        let mut command = farcall(args);
        command.env("FARCALL_KEYS", folder.file("keys"));
        run(command.current_dir(folder.path()))
    };
    let made = here(&["key", "new", "build"]);
    let policy = folder.write("policy", format!("{}host *\n", made.stdout));
    fs::set_permissions(policy, Permissions::from_mode(0o644)).unwrap();
    let signed = ["build", "code.bc", "-o", "signed", "--sign", "build"];
    assert_eq!(here(&signed).printed(), "");
    folder
}

/// A running `farcall executor` in the folder, killed at the end.
struct There<'a> {
    folder: &'a Folder,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl<'a> There<'a> {
    /// Starts one with these options, and waits until it listens.
    fn start(folder: &'a Folder, options: &[&str]) -> Self {
        let mut child = farcall(["executor", "--listen", "unix:socket"])
            .args(options)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.file("stderr")).unwrap())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut there = Self {
            folder,
            child,
            stdout,
        };
        assert_eq!(there.line(), "listening on unix:socket\n", "{options:?}");
        there
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn socket(&self) -> UnixStream {
        UnixStream::connect(self.folder.file("socket")).unwrap()
    }

    fn connect(&self) -> Result<Executor, Error> {
        Executor::speak(Connection::unix(self.socket()))
    }

    /// A controller that has loaded an image, if it may.
    fn load(&self, image: &str) -> Result<Session, Error> {
        let executor = self.connect()?;
        let bytes = fs::read(self.folder.file(image)).unwrap();
        let module = executor.load(&Image::parse(&bytes).unwrap())?.digest;
        Ok(Session { executor, module })
    }

    fn session(&self) -> Session {
        self.load("signed").unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.folder.file("stderr")).unwrap()
    }

    /// How many processes it has started.
    fn n_children(&self) -> usize {
        children(self.child.id()).len()
    }

    /// The workers, which its template has started.
    fn n_workers(&self) -> usize {
        let templates = children(self.child.id()).into_iter();
        templates.map(|template| children(template).len()).sum()
    }
}

impl Drop for There<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(self.folder.file("socket"));
    }
}

/// The processes that a process has started.
fn children(of: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{of}/task"))
        .into_iter()
        .flatten();
    let lists = threads.map(|thread| thread.unwrap().path().join("children"));
    let lists: String = lists
        .map(|list| fs::read_to_string(list).unwrap_or_default())
        .collect();
    let numbers = lists.split_whitespace();
    numbers.map(|number| number.parse().unwrap()).collect()
}

struct Session {
    executor: Executor,
    module: Digest,
}

impl Session {
    fn try_call(&self, function: &str, arguments: &mut [Argument<'_>]) -> Result<u64, Error> {
        let value = self.executor.call(self.module, function, None, arguments)?;
        let Value::Int { value, .. } = value else {
            panic!("{value:?}");
        };
        Ok(value)
    }

    fn call(&self, function: &str) -> u64 {
        self.try_call(function, &mut []).unwrap()
    }

    fn takes(&self, mib: u64) -> u64 {
        self.try_call("takes", &mut [Argument::Int(mib)]).unwrap()
    }

    #[track_caller]
    fn fails(&self, function: &str, kind: ErrorKind) -> String {
        failed(self.try_call(function, &mut []), kind)
    }
}

/// The message of what an executor has failed to do.
#[track_caller]
fn failed<T>(result: Result<T, Error>, kind: ErrorKind) -> String {
    match result {
        Err(Error::Failed(failure)) if failure.kind == kind => failure.message,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is done"),
    }
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: never");
        thread::sleep(Duration::from_millis(2));
    }
}

const POLICY: &str = "--policy=policy";

/// Options, and what there is to see of them.
type Row = (&'static [&'static str], fn(&mut There<'_>));

const ROWS: &[Row] = &[
    (&[POLICY], |there| {
        assert_eq!(there.session().call("count"), 1);
        let message = failed(there.load("plain"), ErrorKind::Refused);
        assert!(message.contains("not signed"), "{message}");
        assert_eq!(there.stderr(), "");
    }),
    (&["--trust-unsigned"], |there| {
        assert_eq!(there.load("plain").unwrap().call("counts"), 1);
        let stderr = there.stderr();
        assert!(stderr.contains("loading unsigned images"), "{stderr}");
    }),
    // Without any, a session has a worker of its own, in a sandbox, for as long as it takes.
    (&[POLICY], |there| {
        let session = there.session();
        assert_eq!((session.call("count"), session.call("count")), (1, 2));
        assert_ne!(session.call("process"), u64::from(there.child.id()));
        assert_eq!(session.call("opens"), 0);
        for _ in 0..3 {
            let message = session.fails("crash", ErrorKind::Crashed);
            assert!(message.contains("crash: SIGSEGV"), "{message}");
        }
        assert_eq!(session.call("count"), 1);
        assert_eq!(session.takes(300), 1);
    }),
    (&[POLICY, "--in-process"], |there| {
        let session = there.session();
        assert_eq!(session.call("process"), u64::from(there.child.id()));
        assert_eq!(there.n_children(), 0);
        let crashed = session.try_call("crash", &mut []).unwrap_err();
        assert!(!matches!(crashed, Error::Failed(_)), "{crashed}");
        assert!(!ended(&mut there.child).success());
    }),
    (&[POLICY, "--workers=call"], |there| {
        let session = there.session();
        assert_eq!((session.call("count"), session.call("count")), (1, 1));
    }),
    (&[POLICY, "--workers", "session", "--ready=5"], |there| {
        until("five workers", || there.n_workers() == 5);
    }),
    (&[POLICY, "--deadline=1"], |there| {
        let session = there.session();
        let message = session.fails("forever", ErrorKind::TimedOut);
        assert!(message.contains("took longer than 1s"), "{message}");
        assert_eq!(session.call("count"), 1);
    }),
    (&[POLICY, "--memory=64"], |there| {
        let session = there.session();
        assert_eq!((session.takes(16), session.takes(300)), (1, 0));
    }),
    (&[POLICY, "--no-sandbox"], |there| {
        assert_eq!(there.session().call("opens"), 1);
    }),
    (&[POLICY, "--quarantine=2"], |there| {
        let session = there.session();
        session.fails("crash", ErrorKind::Crashed);
        assert_eq!(session.call("count"), 1);
        session.fails("crash", ErrorKind::Crashed);
        let message = session.fails("count", ErrorKind::Quarantined);
        assert!(message.contains("it has crashed twice"), "{message}");
    }),
    (&[POLICY, "--metrics=unix:metrics"], |there| {
        assert_eq!(there.line(), "listening on unix:metrics for metrics\n");
        assert_eq!(there.session().call("count"), 1);
        let mut visit = UnixStream::connect(there.folder.file("metrics")).unwrap();
        visit.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut said = String::new();
        visit.read_to_string(&mut said).unwrap();
        for line in ["farcall_calls_total 1", "farcall_policy_keys 1", "# EOF"] {
            assert!(said.lines().any(|said| said == line), "{line}: {said}");
        }
    }),
    (&[POLICY, "--audit=audit"], |there| {
        let module = there.session().module;
        failed(there.load("plain"), ErrorKind::Refused);
        let text = fs::read_to_string(there.folder.file("audit")).unwrap();
        let lines: Vec<serde_json::Value> = (text.lines())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let outcomes: Vec<_> = lines.iter().map(|line| &line["outcome"]).collect();
        assert_eq!(outcomes, ["accepted", "refused"], "{text}");
        assert_eq!(lines[0]["digest"], module.to_string());
    }),
    (&[POLICY, "-v", "--log-format=json"], |there| {
        there.session();
        let log = there.stderr();
        assert!(log.contains("1 keys are trusted"), "{log}");
        for line in log.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["level"], "info", "{log}");
        }
    }),
    (&[POLICY, "-v", "--log-format=text"], |there| {
        there.session();
        let log = there.stderr();
        assert!(log.contains("1 keys are trusted"), "{log}");
        assert!(!log.contains('{'), "{log}");
    }),
    (&[POLICY, "--stop-time=1"], |there| {
        let session = there.session();
        let forever =
            session
                .executor
                .start_call(session.module, "forever", None, Order::Concurrent, &[]);
        let other = there.connect().unwrap();
        until("it runs", || other.statistics().unwrap().running == 1);
        there.signal(Signal::TERM);
        assert_eq!(ended(&mut there.child).code(), Some(3));
        forever.unwrap().wait().unwrap_err();
        let stderr = there.stderr();
        assert!(stderr.contains("not all was done in the 1 s"), "{stderr}");
        assert!(stderr.contains("still running: forever of "), "{stderr}");
    }),
    (&[POLICY, "--max-connections=1"], |there| {
        let one = there.connect().unwrap();
        let message = failed(there.connect(), ErrorKind::NotServed);
        assert!(message.contains("too many connections"), "{message}");
        one.ping().unwrap();
    }),
    (&[POLICY, "--greeting-time=1"], |there| {
        let mut said = Vec::new();
        there.socket().read_to_end(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("not said in time"), "{said}");
    }),
];

#[test]
fn each_option_does_what_it_says() {
    require_tools!("clang-22");
    let folder = setup();
    for (options, look) in ROWS {
        eprintln!("{options:?}");
        look(&mut There::start(&folder, options));
    }
}

/// The long options in a help text.
fn options(help: &str) -> BTreeSet<&str> {
    let words = help.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .collect()
}

#[test]
fn there_are_those_of_the_executor_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../executor/src/main.rs");
    let source = fs::read_to_string(source).unwrap();
    let (_, usage) = source.split_once("const USAGE: &str = \"\\\n").unwrap();
    let (usage, _) = usage.split_once("\n\";").unwrap();
    let help = run(&mut farcall(["executor", "--help"])).printed();
    let mut own = options(&help);
    // Those of every command, of which the executor has the short one.
    assert!(own.remove("--verbose") && own.remove("--timings"));
    let mut its = options(usage);
    assert!(its.remove("--version"));
    assert_eq!(own, its);
}

#[test]
fn what_makes_no_sense_is_refused_as_there() {
    let folder = Folder::new();
    let in_process = [
        "--deadline=1",
        "--memory=1",
        "--no-sandbox",
        "--quarantine=1",
        "--ready=1",
        "--workers=call",
    ];
    let none = [
        "--silence=0",
        "--max-connections=0",
        "--greeting-time=0",
        "--unread-time=0",
        "--stop-time=0",
    ];
    let mut wrong: Vec<Vec<&str>> = vec![
        vec!["--policy=policy"],
        vec![],
        vec!["--log-format=xml"],
        vec!["--metrics=http:"],
    ];
    wrong.extend(in_process.map(|option| vec!["--in-process", option]));
    wrong.extend(none.map(|option| vec![option]));
    for options in wrong {
        // The first two are of whose images load: two answers, and none.
        let whose = (!options.is_empty()).then_some("--trust-unsigned");
        let mut command = farcall(["executor", "--listen", "unix:socket"]);
        command
            .args(whose)
            .args(&options)
            .current_dir(folder.path());
        let outcome = run(&mut command);
        assert_eq!(outcome.end, 2, "{options:?}: {}", outcome.stderr);
        outcome.refused();
    }
}
