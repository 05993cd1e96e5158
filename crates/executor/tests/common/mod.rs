//! What the executor's tests share.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part; a test that cannot go on is to panic"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use farcall_executor::{
    Address, Connection, Error, ErrorKind, Executor, Failure, ModuleName, Options, Service, Value,
};
use farcall_protocol::{Hello, Response, decode};
use farcall_testkit::tools;

pub mod isolated;
pub mod sources;
pub mod there;
pub mod watch;

pub use sources::{image, int, object};

/// The end of a controller and the thread that serves the other one.
pub struct Served {
    pub stream: UnixStream,
    pub thread: JoinHandle<Result<(), Error>>,
}

/// Serves one end of a socket pair.
pub fn serve(service: &Service) -> Served {
    let (stream, other) = UnixStream::pair().unwrap();
    // A test that would wait for ever is to fail.
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let service = service.clone();
    let thread = thread::spawn(move || service.serve(Connection::unix(other)));
    Served { stream, thread }
}

/// A controller of `service`.
pub fn controller(service: &Service) -> Executor {
    let stream = serve(service).stream;
    Executor::over(stream.try_clone().unwrap(), stream).unwrap()
}

/// A service that takes frames of up to 1 MiB.
pub fn small_service() -> Service {
    Service::new(Options {
        frame_limit: 1 << 20,
        ..Options::default()
    })
}

/// The frame of a controller's hello.
pub fn hello() -> Vec<u8> {
    let mut frame = Vec::new();
    let hello = Hello {
        software: "a test".to_owned(),
        machine: String::new(),
        features: 0,
        frame_limit: 1 << 20,
        docks: false,
        modules: Vec::new(),
    };
    hello.encode(&mut frame).unwrap();
    frame
}

pub fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_le_bytes(), payload].concat()
}

impl Served {
    /// Sends bytes, which the executor may not want to have.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn read_frame(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut payload = vec![0; u32::from_le_bytes(length) as usize];
        self.stream.read_exact(&mut payload).unwrap();
        payload
    }

    pub fn read_response(&mut self) -> (u64, Response) {
        let payload = self.read_frame();
        let received = decode::<Response>(&payload).unwrap();
        (received.id, received.message)
    }

    /// Waits until the executor has closed the connection, and gives its reason.
    pub fn closed(mut self) -> Error {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"", "the connection is closed");
        self.thread.join().unwrap().unwrap_err()
    }

    /// Hangs up.
    pub fn hang_up(self) -> Result<(), Error> {
        self.stream.shutdown(Shutdown::Both).unwrap();
        self.thread.join().unwrap()
    }
}

/// Calls a function without arguments that returns an `int`.
pub fn number<'a>(
    executor: &Executor,
    module: impl Into<ModuleName<'a>>,
    function: &'a str,
) -> u64 {
    match executor.call(module, function, Some("i32 ()"), &mut []) {
        Ok(Value::Int { bits: 32, value }) => value,
        other => panic!("{function}: {other:?}"),
    }
}

/// The failure that a request ended in.
#[track_caller]
pub fn failure<T: std::fmt::Debug>(result: Result<T, Error>) -> Failure {
    match result {
        Err(Error::Failed(failure)) => failure,
        other => panic!("not a failure: {other:?}"),
    }
}

#[track_caller]
pub fn assert_fails<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, part: &str) {
    let failure = failure(result);
    assert_eq!(failure.kind, kind, "{failure}");
    assert!(failure.message.contains(part), "{failure}");
}

/// A running `farcall-executor`, killed at the end of the test.
pub struct Process {
    pub child: Child,
    pub address: Address,
    pub stdout: BufReader<ChildStdout>,
}

/// The program, for its options.
pub fn program() -> Command {
    let mut command = tools::start(env!("CARGO_BIN_EXE_farcall-executor"));
    // An emulator starts no template.
    command.args(tools::is_emulated().then_some("--in-process"));
    command
}

/// An executor that loads what is unsigned.
pub fn command(listen: &str) -> Command {
    let mut command = command_trusting(listen);
    command.arg("--trust-unsigned");
    command
}

/// An executor that has yet to be told whose images it is to load.
pub fn command_trusting(listen: &str) -> Command {
    let mut command = program();
    command
        .args(["--listen", listen])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts an executor and waits until it listens.
pub fn start(listen: &str) -> Process {
    start_with(listen, &[])
}

/// Starts an executor that runs calls itself.
pub fn start_in_process(listen: &str) -> Process {
    start_with(listen, in_process())
}

/// What has an executor run calls itself.
pub fn in_process() -> &'static [&'static str] {
    match tools::is_emulated() {
        // It is said already.
        true => &[],
        false => &["--in-process"],
    }
}

/// Of ways to run calls, of which the first is in the executor's own process, those that there are: an emulated executor starts no template.
pub fn possible<T: Copy>(modes: &[T]) -> impl Iterator<Item = T> {
    let n_modes = if tools::is_emulated() { 1 } else { modes.len() };
    modes.iter().copied().take(n_modes)
}

/// Starts an executor with these options, and waits until it listens.
pub fn start_with(listen: &str, options: &[&str]) -> Process {
    let mut with = command(listen);
    with.args(options);
    start_command(with)
}

/// Starts an executor by its command and waits until it listens.
pub fn start_command(mut command: Command) -> Process {
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let Some(address) = line.trim_end().strip_prefix("listening on ") else {
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        panic!("{line:?} {stderr:?}");
    };
    Process {
        address: address.parse().unwrap(),
        child,
        stdout,
    }
}

impl Process {
    pub fn connect(&self) -> Executor {
        Executor::connect(&self.address).unwrap()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Stops it, and waits until it has stopped: a signal takes a moment to get to all threads, which go on until then.
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
        until_stopped(self.child.id());
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }
}

/// Waits until all threads of a process have stopped.
pub fn until_stopped(process: u32) {
    let threads = format!("/proc/{process}/task");
    let has_stopped = |thread: std::io::Result<std::fs::DirEntry>| {
        let stat = thread.and_then(|it| std::fs::read_to_string(it.path().join("stat")));
        // One that has ended meanwhile does nothing any more.
        stat.map_or(true, |stat| stat.contains(") T "))
    };
    while !std::fs::read_dir(&threads).unwrap().all(has_stopped) {
        thread::yield_now();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn ended(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it goes on");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The processes that this one's child has, and theirs.
pub fn descendants(of: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{of}/task")) else {
        return Vec::new();
    };
    let children = threads.map(|thread| {
        let children = thread.unwrap().path().join("children");
        std::fs::read_to_string(children).unwrap_or_default()
    });
    let children: String = children.collect();
    let children = children
        .split_whitespace()
        .map(|child| child.parse().unwrap());
    children
        .flat_map(|child: u32| [vec![child], descendants(child)].concat())
        .collect()
}

/// Kills a process.
pub fn kill(process: u32) {
    let process = rustix::process::Pid::from_raw(process.try_into().unwrap()).unwrap();
    // It may have ended.
    let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
}
