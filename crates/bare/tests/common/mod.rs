//! What the bare executor's tests share.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part; a test that cannot go on is to panic"
)]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use farcall_bare::{Options, Service};
use farcall_executor::{BareExecutor, Error, ErrorKind, PlaceOptions, PlacedModule, Value};
use farcall_image::Image;
use farcall_protocol::{BareHello, Outcomes, Step, decode, encode};
use farcall_testkit::tools;

/// The same as the executor's tests run.
#[path = "../../../executor/tests/common/sources.rs"]
pub mod sources;

/// A service like that of the program, which takes frames of up to 1 MiB and reserves up to 1 GiB.
pub fn service() -> Service {
    let libraries = ["libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"];
    Service::new(Options {
        frame_limit: 1 << 20,
        memory_limit: 1 << 30,
        libraries: libraries.map(str::to_owned).to_vec(),
    })
}

/// The end of a controller and the thread that serves the other one.
pub struct Served {
    pub stream: UnixStream,
    pub thread: JoinHandle<Result<(), farcall_bare::Error>>,
}

/// Serves one end of a socket pair.
pub fn serve(service: &Service) -> Served {
    let (stream, other) = UnixStream::pair().unwrap();
    // A test that would wait for ever is to fail.
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    let service = service.clone();
    let thread = thread::spawn(move || service.serve(&mut &other, &mut &other));
    Served { stream, thread }
}

/// A controller of `service`.
pub fn controller(service: &Service) -> BareExecutor {
    let stream = serve(service).stream;
    BareExecutor::over(stream.try_clone().unwrap(), stream).unwrap()
}

/// Places an image that imports from nothing but the process.
pub fn place<'data>(executor: &BareExecutor, bytes: &'data [u8]) -> PlacedModule<'data> {
    let image = Image::parse(bytes).unwrap();
    executor.place(&image, PlaceOptions::default()).unwrap()
}

/// Calls a function without arguments that returns an `int`.
#[track_caller]
pub fn number(executor: &BareExecutor, module: &PlacedModule<'_>, function: &str) -> u64 {
    match executor.call(module, function, Some("i32 ()"), &mut []) {
        Ok(Value::Int { bits: 32, value }) => value,
        other => panic!("{function}: {other:?}"),
    }
}

#[track_caller]
pub fn assert_fails<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, part: &str) {
    match result {
        Err(Error::Failed(failure)) if failure.kind == kind && failure.message.contains(part) => {}
        other => panic!("{other:?}"),
    }
}

/// Speaks the protocol step by step.
pub struct Speaker {
    pub served: Served,
    pub page: u64,
    last_id: u64,
}

impl Speaker {
    pub fn new(service: &Service) -> Self {
        let mut served = serve(service);
        served.stream.write_all(&hello()).unwrap();
        let hello = BareHello::decode(&served.read_frame()).unwrap();
        Self {
            served,
            page: hello.page_size,
            last_id: 0,
        }
    }

    pub fn ask(&mut self, steps: &[Step<'_>], body: &[u8]) -> (Outcomes, Vec<u8>) {
        self.last_id += 1;
        let mut frame = Vec::new();
        encode(&mut frame, self.last_id, &steps, body.len(), u32::MAX).unwrap();
        frame.extend_from_slice(body);
        self.served.stream.write_all(&frame).unwrap();
        let payload = self.served.read_frame();
        let received = decode::<Outcomes>(&payload).unwrap();
        assert_eq!(received.id, self.last_id);
        (received.message, received.body.to_vec())
    }

    /// Asks for one step, which has to fail in this way.
    #[track_caller]
    pub fn refuses(&mut self, step: Step<'_>, body: &[u8], kind: ErrorKind, part: &str) {
        let (outcomes, _) = self.ask(std::slice::from_ref(&step), body);
        let failure = outcomes.failure;
        let failure = failure.unwrap_or_else(|| panic!("{step:?} is done: {:?}", outcomes.done));
        assert_eq!(failure.kind, kind, "{step:?}: {failure}");
        assert!(failure.message.contains(part), "{step:?}: {failure}");
        assert_eq!(outcomes.done, []);
    }

    #[track_caller]
    pub fn does(&mut self, steps: &[Step<'_>], body: &[u8]) -> Vec<farcall_protocol::Outcome> {
        let (outcomes, _) = self.ask(steps, body);
        assert_eq!(outcomes.failure, None, "{steps:?}");
        outcomes.done
    }

    /// Reserves so many pages.
    #[track_caller]
    pub fn reserve(&mut self, pages: u64) -> u64 {
        let step = Step::Reserve {
            size: pages * self.page,
            align: 1,
        };
        let [farcall_protocol::Outcome::Reserved { address }] = self.does(&[step], b"")[..] else {
            panic!("reserving gives an address");
        };
        address
    }
}

impl Served {
    pub fn read_frame(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut payload = vec![0; u32::from_le_bytes(length) as usize];
        self.stream.read_exact(&mut payload).unwrap();
        payload
    }
}

/// The frame of a controller's hello.
pub fn hello() -> Vec<u8> {
    let mut frame = Vec::new();
    let hello = BareHello {
        software: "a test".to_owned(),
        machine: String::new(),
        features: 0,
        frame_limit: 1 << 20,
        page_size: 0,
    };
    hello.encode(&mut frame).unwrap();
    frame
}

/// A `farcall-bare` on standard input and output, killed at the end of the test.
pub struct Process {
    pub child: Child,
}

impl Process {
    pub fn start() -> (Self, BareExecutor) {
        let mut child = tools::start(env!("CARGO_BIN_EXE_farcall-bare"))
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stdin) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        let executor = BareExecutor::over(stdout, stdin).unwrap();
        (Self { child }, executor)
    }

    /// Waits until it has ended by itself, and gives its status and what it printed.
    pub fn ended(&mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let mut stderr = self.child.stderr.take().unwrap();
        let printed = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, printed.join().unwrap());
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it goes on");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
