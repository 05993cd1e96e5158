//! Executors that read their policy again while they serve.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::ChildStderr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Process, assert_fails, command_trusting, image, number, possible, start_command};
use farcall_executor::{ErrorKind, Executor, LoadOptions};
use farcall_image::Image;
use farcall_testkit::require_tools;
use farcall_testkit::tools::rounds;
use farcall_trust::{SecretKey, Terms};
use rustix::process::Signal;
use tempfile::TempDir;

/// Calls in the process, and in workers of both kinds.
const MODES: [&[&str]; 3] = [
    &["--in-process"],
    &["--workers=session"],
    &["--workers=call"],
];

/// An executor with a policy, which logs, and says when it has read everything again.
struct Setup {
    folder: TempDir,
    build: SecretKey,
    other: SecretKey,
    process: Process,
    log: Option<BufReader<ChildStderr>>,
    notify: UnixDatagram,
}

impl Setup {
    fn new(mode: &[&str]) -> Self {
        let key = |name: &str| SecretKey::generate(name.parse().unwrap()).unwrap();
        let (build, other) = (key("build"), key("other"));
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        write(&folder, &trusting(&[&build]));
        let notify = UnixDatagram::bind(path("notify")).unwrap();
        let limit = Some(Duration::from_secs(20));
        notify.set_read_timeout(limit).unwrap();
        let mut with = command_trusting(&format!("unix:{}", path("socket")));
        with.args(mode)
            .args(["-v", "--policy", &path("policy")])
            .env("NOTIFY_SOCKET", path("notify"));
        let mut process = start_command(with);
        let log = BufReader::new(process.child.stderr.take().unwrap());
        let setup = Self {
            folder,
            build,
            other,
            process,
            log: Some(log),
            notify,
        };
        assert_eq!(setup.told(), "READY=1");
        setup
    }

    fn told(&self) -> String {
        let mut message = [0; 200];
        let n_bytes = self.notify.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..n_bytes]).into_owned()
    }

    fn reload(&self) {
        self.process.signal(Signal::HUP);
        assert!(self.told().starts_with("RELOADING=1\n"));
        assert_eq!(self.told(), "READY=1");
    }

    /// Reads the log until it has said this.
    fn logged(&mut self, part: &str) {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            let log = self.log.as_mut().unwrap();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "{part}");
        }
    }

    fn load(&self, executor: &Executor, key: &SecretKey, source: &str) -> Loaded {
        let bytes = image(source);
        let image = Image::parse(&bytes).unwrap();
        let signed = key.sign_image(&image, &Terms::default()).unwrap();
        let image = Image::parse(&signed).unwrap();
        executor.load(&image)?;
        Ok(image.digest())
    }
}

type Loaded = Result<farcall_image::Digest, farcall_executor::Error>;

fn trusting(keys: &[&SecretKey]) -> String {
    let line = |key: &&SecretKey| format!("key {}\nhost *\n", key.public());
    keys.iter().map(line).collect()
}

/// Writes a policy as one does: a new file takes the place of the old one.
fn write(folder: &TempDir, text: &str) {
    let new = folder.path().join("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o644)).unwrap();
    fs::rename(&new, folder.path().join("policy")).unwrap();
}

const F: &str = "int f(void) { return 1; }";
const G: &str = "int f(void); int g(void) { return f() + 1; }";
const H: &str = "int h(void) { return 3; }";

#[test]
fn keys_come_and_go() {
    require_tools!("clang-22");
    for mode in possible(&MODES) {
        let mut setup = Setup::new(mode);
        let executor = setup.process.connect();
        let refused = setup.load(&executor, &setup.other, H);
        assert_fails(refused, ErrorKind::Refused, "does not have");
        write(&setup.folder, &trusting(&[&setup.build, &setup.other]));
        setup.reload();
        let added = format!(
            "key {} added, 2 keys are trusted",
            setup.other.public().id()
        );
        setup.logged(&added);
        let h = setup.load(&executor, &setup.other, H).unwrap();
        assert_eq!(number(&executor, h, "h"), 3);

        // What is wrong changes nothing, and is said with the file and the line.
        let policy = setup.folder.path().join("policy");
        write(&setup.folder, "key nonsense\n");
        setup.reload();
        setup.logged("policy:1: ");
        fs::remove_file(&policy).unwrap();
        setup.reload();
        setup.logged("cannot read: No such file");
        write(&setup.folder, "");
        fs::set_permissions(&policy, Permissions::from_mode(0o666)).unwrap();
        setup.reload();
        setup.logged("others may write to this policy");
        assert_eq!(number(&executor, h, "h"), 3);
        setup.load(&executor, &setup.build, F).unwrap();

        // A key that is taken out is as good as revoked.
        write(&setup.folder, &trusting(&[&setup.build]));
        setup.reload();
        setup.logged("removed, 1 keys are trusted");
        let called = executor.call(h, "h", Some("i32 ()"), &mut []);
        assert_fails(called, ErrorKind::Refused, "does not have");
        setup.process.signal(Signal::TERM);
        assert_eq!(setup.process.ended().code(), Some(0));
    }
}

#[test]
fn what_a_revoked_key_has_signed_is_called_no_more() {
    require_tools!("clang-22");
    for mode in possible(&MODES) {
        let mut setup = Setup::new(mode);
        let both = trusting(&[&setup.build, &setup.other]);
        write(&setup.folder, &both);
        let executor = setup.process.connect();
        let f = setup.load(&executor, &setup.build, F).unwrap();
        let h = setup.load(&executor, &setup.other, H).unwrap();
        let prepared = executor.function(f, "f", Some("i32 ()")).unwrap();
        prepared.call(&mut []).unwrap();

        let id = setup.build.public().id();
        write(&setup.folder, &format!("{both}revoke key {id}\n"));
        setup.reload();
        setup.logged(&format!("key {id} revoked, 1 keys are trusted"));
        let revoked = "was revoked";
        assert_fails(prepared.call(&mut []), ErrorKind::Refused, revoked);
        let called = executor.call(f, "f", Some("i32 ()"), &mut []);
        assert_fails(called, ErrorKind::Refused, revoked);
        let found = executor.function(f, "f", Some("i32 ()"));
        assert_fails(found, ErrorKind::Refused, revoked);
        assert_fails(
            setup.load(&executor, &setup.build, F),
            ErrorKind::Refused,
            revoked,
        );
        // Nor does another image get at it, whether it names it or not.
        let importing = setup.load(&executor, &setup.other, G);
        assert_fails(importing, ErrorKind::Load, "missing symbol: f");
        let bytes = image(G);
        let unsigned = Image::parse(&bytes).unwrap();
        let signed = setup.other.sign_image(&unsigned, &Terms::default());
        let signed = signed.unwrap();
        let options = LoadOptions {
            scope: Some(&[f]),
            ..LoadOptions::default()
        };
        let importing = executor.load_with(&Image::parse(&signed).unwrap(), options);
        assert_fails(importing, ErrorKind::Refused, revoked);
        assert_eq!(number(&executor, h, "h"), 3);

        // Signed by a key that is trusted it is the module that was there.
        setup.load(&executor, &setup.other, F).unwrap();
        prepared.call(&mut []).unwrap();
        write(&setup.folder, &format!("{both}revoke image {f}\n"));
        setup.reload();
        setup.logged(&format!("image {f} revoked, 1 not revoked any more"));
        assert_fails(prepared.call(&mut []), ErrorKind::Refused, revoked);
        write(&setup.folder, &both);
        setup.reload();
        prepared.call(&mut []).unwrap();
    }
}

#[test]
fn thousands_of_signals_under_load() {
    require_tools!("clang-22");
    for mode in possible(&MODES) {
        let mut setup = Setup::new(mode);
        let policies = [
            trusting(&[&setup.build]),
            trusting(&[&setup.build, &setup.other]),
        ];
        let executor = setup.process.connect();
        let h = setup.load(&executor, &setup.build, H).unwrap();
        let is_over = AtomicBool::new(false);
        // It waits for who does not read its log, and not for who does not read what it notifies of.
        let log = setup.log.take().unwrap();
        let log = thread::spawn(move || io::read_to_string(log).unwrap());
        let n_signals = rounds(3000);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let executor = setup.process.connect();
                    while !is_over.load(Ordering::Relaxed) {
                        assert_eq!(number(&executor, h, "h"), 3);
                        setup.process.connect().ping().unwrap();
                    }
                });
            }
            for nth in 0..n_signals {
                write(&setup.folder, &policies[nth % 2]);
                setup.process.signal(Signal::HUP);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        write(&setup.folder, &policies[1]);
        setup.process.signal(Signal::HUP);
        let g = setup.load(&executor, &setup.other, F).unwrap();
        assert_eq!(number(&executor, g, "f"), 1);
        setup.process.signal(Signal::TERM);
        let log = log.join().unwrap();
        assert_eq!(setup.process.ended().code(), Some(0));
        assert!(log.contains("keys are trusted"), "{log}");
    }
}
