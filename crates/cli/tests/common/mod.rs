//! What the tests of the command share: it is always run as a user runs it, as a process.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part; a test that cannot go on is to panic"
)]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use farcall_testkit::paths::workspace_root;
use farcall_testkit::tools;
use tempfile::TempDir;

/// How long a command may take. SQLite takes 20 seconds to compile on a machine with nothing else
/// to do.
const TIME_LIMIT: Duration = Duration::from_secs(240);

/// What a run of a command shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    /// The exit code, or the signal as a negative number.
    pub end: i32,
}

/// The `farcall` command with these arguments, and without the cache: what is tested is to be done.
pub fn farcall<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farcall"));
    command.args(args).env("FARCALL_CACHE", "off");
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Outcome {
    run_with(command, b"")
}

/// Runs a command to its end with these bytes as its standard input.
pub fn run_with(command: &mut Command, stdin: &[u8]) -> Outcome {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut input, stdin) = (child.stdin.take().unwrap(), stdin.to_vec());
    // A program may end before it has read everything.
    thread::spawn(move || drop(input.write_all(&stdin)));
    let stdout = read_all(child.stdout.take().unwrap());
    let stderr = read_all(child.stderr.take().unwrap());
    let status = ended(&mut child);
    Outcome {
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
        end: (status.code()).unwrap_or_else(|| -status.signal().unwrap()),
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits until a process has ended by itself.
pub fn ended(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > TIME_LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            panic!("still running after {TIME_LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

impl Outcome {
    /// Standard output of a command that succeeded and complained of nothing.
    #[track_caller]
    pub fn printed(self) -> String {
        assert_eq!(
            (self.end, self.stderr.as_str()),
            (0, ""),
            "stdout: {}",
            self.stdout
        );
        self.stdout
    }

    /// How many bytes `farcall call --on … --timings` sent to have the image loaded.
    #[track_caller]
    pub fn shipped(&self) -> u64 {
        assert_eq!(self.end, 0, "{self:?}");
        let stage = self.stderr.lines().find(|line| line.contains("ship"));
        let stage = stage.unwrap().trim_end_matches(" bytes");
        stage.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// The message of a command that was refused: on standard error, with nothing on standard
    /// output, from `farcall` itself and no panic.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(self.end > 0, "{self:?}");
        assert_eq!(self.stdout, "", "{}", self.stderr);
        assert!(self.stderr.starts_with("farcall: "), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert!(self.stderr.ends_with('\n'), "{:?}", self.stderr);
        self.stderr["farcall: ".len()..].trim_end().to_owned()
    }
}

/// Runs `farcall` with these arguments in `folder`.
pub fn farcall_in(folder: &Folder, args: &[&str]) -> Outcome {
    run(farcall(args).current_dir(folder.path()))
}

/// A folder for the files of one test, removed after it.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Compiles C with `clang-22 -O1` and these flags to a file whose ending says what it becomes:
    /// `.bc`, `.o` (position-independent), `.so` or, with none, an executable.
    pub fn compile(&self, name: &str, source: &str, flags: &[&str]) -> PathBuf {
        let c = self.write(&format!("{name}.c"), source);
        let path = self.file(name);
        let mut args: Vec<&OsStr> = ["-O1", "-fPIC"].map(OsStr::new).to_vec();
        match path.extension().and_then(OsStr::to_str) {
            Some("bc") => args.extend(["-c", "-emit-llvm"].map(OsStr::new)),
            Some("o") => args.push(OsStr::new("-c")),
            Some("so") => args.push(OsStr::new("-shared")),
            _ => {}
        }
        args.extend(flags.iter().map(OsStr::new));
        args.extend([c.as_os_str(), OsStr::new("-o"), path.as_os_str()]);
        tools::run("clang-22", &args).unwrap();
        path
    }

    /// Writes the certificates and keys of these names, which the executor's tests have.
    pub fn certificates(&self, names: &[&str]) {
        let from = workspace_root().join("crates/executor/tests/tls/certificates");
        for name in names {
            for name in [format!("{name}.pem"), format!("{name}.key")] {
                let text = fs::read_to_string(from.join(&name)).unwrap();
                // Nobody else may read a key.
                let path = self.write(&name, text);
                fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
            }
        }
    }

    /// Builds an image of files in this folder.
    #[track_caller]
    pub fn build(&self, image: &str, inputs: &[&str]) -> PathBuf {
        let args = [&["build", "-o", image], inputs].concat();
        farcall_in(self, &args).printed();
        self.file(image)
    }
}

/// A running `farcall executor`, killed at the end of the test.
pub struct Executor {
    pub child: Child,
    pub address: String,
}

impl Executor {
    /// Starts one and waits until it listens.
    pub fn start(listen: &str) -> Self {
        Self::start_with(listen, &[])
    }

    /// Starts one with further arguments, and waits until it listens.
    pub fn start_with(listen: &str, arguments: &[&str]) -> Self {
        let mut child = farcall(["executor", "--listen", listen, "--trust-unsigned"])
            // An emulator starts no template.
            .args(tools::is_emulated().then_some("--in-process"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap();
        Self {
            address: address.to_owned(),
            child,
        }
    }

    /// One with TLS for the controller whose [certificates](Folder::certificates) are in the folder, as the executor's own are.
    pub fn with_tls(folder: &Folder) -> Self {
        let file = |option: &str, name: &str| format!("{option}={}", folder.file(name).display());
        let files = [
            file("--tls-certificate", "executor.pem"),
            file("--tls-key", "executor.key"),
            file("--tls-peer", "controller.pem"),
        ];
        Self::start_with("tls:127.0.0.1:0", &files.each_ref().map(String::as_str))
    }

    /// One on a Unix socket in the folder that runs calls itself.
    pub fn in_process(folder: &Folder) -> Self {
        let listen = format!("unix:{}", folder.file("socket").display());
        // In an emulator it is said already.
        let options = if tools::is_emulated() {
            &[][..]
        } else {
            &["--in-process"]
        };
        Self::start_with(&listen, options)
    }

    /// One on a Unix socket in the folder.
    pub fn in_folder(folder: &Folder) -> Self {
        Self::start(&format!("unix:{}", folder.file("socket").display()))
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
