//! Frames and buffers in memory that a controller and an executor share.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{
    Process, Served, assert_fails, hello, image, int, serve, small_service, start, start_in_process,
};
use farcall_executor::{
    Argument, Connection, Error, ErrorKind, Executor, Isolation, Options, Order, RemoteFunction,
    RemoteModule, Service, Value,
};
use farcall_image::Image;
use farcall_protocol::{Request, Response, encode};
use farcall_testkit::{require_tools, tools};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::Signal;
use tempfile::TempDir;

const SOURCE: &str = "
    #include <string.h>
    #include <time.h>
    #include <unistd.h>
    static volatile long turns;
    long turn(void) { return ++turns; }
    long add(long a, long b) { return a + b; }
    int process(void) { return getpid(); }
    void nap(int milliseconds) {
        struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
        nanosleep(&time, 0);
    }
    static volatile int arrived;
    int meet(int n) {
        __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < n) nap(1);
        return n;
    }
    long sum(const unsigned char *bytes, long n) { long s = 0; while (n--) s += *bytes++; return s; }
    void fill(unsigned char *bytes, int value, long n) { memset(bytes, value, n); }
    void reverse(unsigned char *bytes, long n) {
        for (long i = 0; i < n / 2; i++) {
            unsigned char byte = bytes[i];
            bytes[i] = bytes[n - 1 - i];
            bytes[n - 1 - i] = byte;
        }
    }
    static const char large[200000] = {1, 2, 3};
    int at(int n) { return large[n]; }
";

/// Some times as much as a ring takes.
const LARGE: usize = 3 << 20;

struct There {
    executor: Executor,
    module: RemoteModule,
}

impl There {
    fn over(executor: Executor) -> Self {
        let bytes = image(SOURCE);
        let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
        Self { executor, module }
    }

    fn function(&self, name: &str, signature: &str) -> RemoteFunction {
        (self.executor)
            .function(&self.module, name, Some(signature))
            .unwrap()
    }
}

/// A controller of a service in this process.
fn shared(service: &Service) -> Executor {
    let stream = serve(service).stream;
    Executor::speak_shared(Connection::unix(stream)).unwrap()
}

fn there() -> There {
    There::over(shared(&Service::default()))
}

/// A process that listens in a folder of its own.
struct Apart {
    process: Process,
    _folder: TempDir,
}

impl Apart {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        Self {
            process: start_in_process(&format!("unix:{}", socket.display())),
            _folder: folder,
        }
    }

    fn connect(&self) -> Executor {
        Executor::connect_shared(&self.process.address).unwrap()
    }
}

/// What `run` gives, which must not take for ever.
fn soon<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(run()));
    let time = Duration::from_secs(20);
    receiver.recv_timeout(time).expect("it waits for ever")
}

fn bytes(n_bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(n_bytes).collect()
}

#[test]
fn calls_and_buffers_go_through_memory_to_another_process() {
    require_tools!("clang-22");
    let apart = Apart::start();
    let there = There::over(apart.connect());
    let mut arguments = [Argument::Int(40), Argument::Int(2)];
    let add = there.function("add", "i64 (i64, i64)");
    assert_eq!(add.call(&mut arguments).unwrap(), int(64, 42));
    let id = there.function("process", "i32 ()").call(&mut []).unwrap();
    assert_eq!(id, int(32, apart.process.child.id().into()));

    let (data, mut copy) = (bytes(1000), bytes(1000));
    let reverse = there.function("reverse", "void (ptr, i64)");
    let mut arguments = [Argument::InOut(&mut copy), Argument::Int(1000)];
    reverse.call(&mut arguments).unwrap();
    assert!(copy.iter().rev().eq(&data));
    let statistics = there.executor.statistics().unwrap();
    assert_eq!((statistics.calls, statistics.running), (3, 0));
}

#[test]
fn a_large_image_goes_as_a_file_and_waits_for_its_frame() {
    require_tools!("clang-22");
    let apart = Apart::start();
    let (shared, other) = (apart.connect(), apart.process.connect());
    let there = There::over(shared);
    assert!(there.executor.traffic().passed > 200_000);
    assert!(there.executor.traffic().sent < 10_000);
    let at = there.function("at", "i32 (i32)");
    assert_eq!(at.call(&mut [Argument::Int(2)]).unwrap(), int(32, 3));
    // Another one comes over the socket, and meets the same module.
    let again = There::over(other);
    assert!(again.module.was_loaded);
}

#[test]
fn more_files_than_a_socket_takes_wait_for_each_other() {
    require_tools!("clang-22");
    let sources: Vec<String> = (0..40)
        .map(|n| format!("const char large[100000] = {{{n}}}; int n(void) {{ return {n}; }}"))
        .collect();
    let images: Vec<Vec<u8>> = sources.iter().map(|source| image(source)).collect();
    let images: Vec<Image<'_>> = images
        .iter()
        .map(|bytes| Image::parse(bytes).unwrap())
        .collect();
    let there = there();
    let nap = there.function("nap", "void (i32)");
    // Meanwhile it takes none.
    let napping = nap.start(&[Argument::Int(300)]).unwrap();
    let loads: Vec<_> = (0..10)
        .flat_map(|_| &images)
        .map(|image| {
            let load = there.executor.start_load(image, Default::default());
            load.unwrap()
        })
        .collect();
    napping.wait().unwrap();
    for load in loads {
        load.wait().unwrap();
    }
    for (n, image) in images.iter().enumerate() {
        let found = common::number(&there.executor, image.digest(), "n");
        assert_eq!(found, n as u64);
    }
}

#[test]
fn frames_are_larger_than_the_ring_in_both_directions() {
    require_tools!("clang-22");
    let there = there();
    let data = bytes(LARGE);
    let sum = there.function("sum", "i64 (ptr, i64)");
    let expected = data.iter().map(|&byte| u64::from(byte)).sum();
    for _ in 0..5 {
        let mut arguments = [Argument::In(&data), Argument::Int(LARGE as u64)];
        assert_eq!(sum.call(&mut arguments).unwrap(), int(64, expected));
    }
    let reverse = there.function("reverse", "void (ptr, i64)");
    let mut copy = data.clone();
    let mut arguments = [Argument::InOut(&mut copy), Argument::Int(LARGE as u64)];
    reverse.call(&mut arguments).unwrap();
    assert!(copy.iter().rev().eq(&data));
}

/// Neither side reads while it writes, unless it does so in order to go on.
#[test]
fn large_calls_in_flight_do_not_wait_for_each_other_for_ever() {
    require_tools!("clang-22");
    soon(|| {
        let there = there();
        let data = bytes(LARGE / 2);
        let reverse = there.function("reverse", "void (ptr, i64)");
        let mut copies = vec![data.clone(); 8];
        let calls: Vec<_> = copies
            .iter_mut()
            .map(|copy| {
                let arguments = [Argument::InOut(copy), Argument::Int(LARGE as u64 / 2)];
                reverse.start(&arguments).unwrap()
            })
            .collect();
        for (call, copy) in calls.into_iter().zip(&mut copies) {
            let mut arguments = [Argument::InOut(copy), Argument::Int(LARGE as u64 / 2)];
            call.wait_into(&mut arguments).unwrap();
            assert!(copy.iter().rev().eq(&data));
        }
    });
}

#[test]
fn many_small_calls_wait_until_there_is_room() {
    require_tools!("clang-22");
    let there = there();
    let turn = there.function("turn", "i64 ()");
    let calls: Vec<_> = (0..30_000).map(|_| turn.start(&[]).unwrap()).collect();
    for (nth, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait().unwrap(), int(64, 1 + nth as u64));
    }
}

#[test]
fn many_threads_get_their_own_answers() {
    require_tools!("clang-22");
    let there = there();
    let add = there.function("add", "i64 (i64, i64)");
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let add = &add;
            scope.spawn(move || {
                for n in 0..3000 {
                    let mut arguments = [Argument::Int(thread << 32), Argument::Int(n)];
                    let sum = add.call(&mut arguments).unwrap();
                    assert_eq!(sum, int(64, (thread << 32) + n));
                }
            });
        }
    });
}

#[test]
fn concurrent_calls_run_at_the_same_time_and_waiting_ones_are_cancelled() {
    require_tools!("clang-22");
    let there = there();
    let meet = there.function("meet", "i32 (i32)");
    let start = || meet.start_in(Order::Concurrent, &[Argument::Int(16)]);
    let calls: Vec<_> = (0..16).map(|_| start().unwrap()).collect();
    for call in calls {
        assert_eq!(call.wait().unwrap(), int(32, 16));
    }

    let nap = there.function("nap", "void (i32)");
    let napping = nap.start(&[Argument::Int(200)]).unwrap();
    let turn = there.function("turn", "i64 ()");
    let cancelled = there.executor.clone();
    let call = turn.start(&[]).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| call.cancel().unwrap());
        assert_eq!(napping.wait().unwrap(), Value::Void);
    });
    // The request to cancel came before or after the call's turn.
    match call.wait() {
        Ok(value) => assert_eq!(value, int(64, 1)),
        failed => assert_fails(failed, ErrorKind::Cancelled, "before it began"),
    }
    cancelled.ping().unwrap();
}

#[test]
fn what_fails_fails_alone() {
    require_tools!("clang-22");
    let there = There::over(shared(&small_service()));
    let absent = there
        .executor
        .function(&there.module, "absent", Some("void ()"));
    assert_fails(absent, ErrorKind::UnknownSymbol, "absent");
    let turn = there.function("turn", "i64 ()");
    let wrong = turn.call(&mut [Argument::Int(1)]);
    assert_fails(
        wrong,
        ErrorKind::Arguments,
        "1 arguments for a function of 0",
    );
    // More than the executor takes in a frame is not even sent.
    let large = vec![0; 2 << 20];
    let sum = there.function("sum", "i64 (ptr, i64)");
    let refused = sum.call(&mut [Argument::In(&large), Argument::Int(1)]);
    assert!(matches!(refused, Err(Error::Protocol(_))), "{refused:?}");
    assert_eq!(turn.call(&mut []).unwrap(), int(64, 1));
}

#[test]
fn a_shared_buffer_is_the_same_memory_on_both_sides() {
    require_tools!("clang-22");
    let apart = Apart::start();
    // Frames need not go through memory for that.
    for executor in [apart.connect(), apart.process.connect()] {
        let there = There::over(executor);
        let buffer = there.executor.allocate_shared(100_000).unwrap();
        assert_eq!((buffer.size(), buffer.address() % 64), (100_000, 0));
        let data = bytes(50_000);
        let sum = there.function("sum", "i64 (ptr, i64)");
        let fill = there.function("fill", "void (ptr, i32, i64)");
        let requests = there.executor.traffic().requests;
        buffer.write(30_000, &data).unwrap();
        let mut copy = vec![1; 50_001];
        buffer.read(29_999, &mut copy).unwrap();
        assert_eq!(copy[0], 0, "zeros at first");
        assert!(copy[1..] == data);
        let beyond = buffer.write(u64::MAX, b"x");
        assert_fails(beyond, ErrorKind::UnknownBuffer, "it ends before");
        let beyond = buffer.read(99_999, &mut [0; 2]);
        assert_fails(beyond, ErrorKind::UnknownBuffer, "it ends before");
        assert_eq!(there.executor.traffic().requests, requests);

        let mut arguments = [Argument::Buffer(&buffer, 30_000), Argument::Int(50_000)];
        let expected = data.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum.call(&mut arguments).unwrap(), int(64, expected));
        let mut arguments = [
            Argument::Buffer(&buffer, 99_990),
            Argument::Int(7),
            Argument::Int(10),
        ];
        fill.call(&mut arguments).unwrap();
        let mut last = [0; 11];
        buffer.read(99_989, &mut last).unwrap();
        assert_eq!(last, [0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
    }
}

#[test]
fn frames_and_buffers_of_isolated_calls_are_shared_too() {
    require_tools!("clang-22");
    if tools::is_emulated() {
        // An emulator starts no template.
        return;
    }
    let program = env!("CARGO_BIN_EXE_farcall-executor");
    let isolation = Isolation::with_template(program.into(), vec!["--template".into()]);
    let service = Service::isolated(Options::default(), isolation).unwrap();
    let there = There::over(shared(&service));
    let buffer = there.executor.allocate_shared(1000).unwrap();
    buffer.write(10, &bytes(500)).unwrap();
    let sum = there.function("sum", "i64 (ptr, i64)");
    let mut arguments = [Argument::Buffer(&buffer, 10), Argument::Int(500)];
    let expected = bytes(500).iter().map(|&byte| u64::from(byte)).sum();
    assert_eq!(sum.call(&mut arguments).unwrap(), int(64, expected));
    let at = there.function("at", "i32 (i32)");
    assert_eq!(at.call(&mut [Argument::Int(2)]).unwrap(), int(32, 3));
    let process = there.function("process", "i32 ()");
    let worker = process.call(&mut []).unwrap();
    assert_ne!(worker, int(32, std::process::id().into()));
}

#[test]
fn shared_buffers_count_as_others_do() {
    let service = Service::new(Options {
        buffer_limit: 1 << 20,
        ..Options::default()
    });
    let executor = shared(&service);
    let half = executor.allocate_shared(1 << 19).unwrap();
    let _other_half = executor.allocate(1 << 19).unwrap();
    assert_fails(executor.allocate_shared(1), ErrorKind::Memory, "1048576");
    let nothing = executor.allocate_shared(0).unwrap();
    nothing.write(0, b"").unwrap();
    drop(half);
    let again = executor.allocate_shared(1 << 19).unwrap();
    let mut byte = [1];
    again.read(0, &mut byte).unwrap();
    assert_eq!(byte, [0]);
}

#[test]
fn memory_is_shared_over_unix_sockets_alone() {
    let process = start("tcp:127.0.0.1:0");
    let refused = Executor::connect_shared(&process.address);
    assert!(matches!(refused, Err(Error::NotShared)), "{refused:?}");
    let refused = process.connect().allocate_shared(1);
    assert!(matches!(refused, Err(Error::NotShared)), "{refused:?}");
}

// What a peer may send.

/// A connection on which the executor's hello was read, and its own sent.
fn greeted(service: &Service) -> Served {
    let mut served = serve(service);
    served.send(&hello());
    served.read_frame();
    served
}

/// Sends a request with a file in memory of so many bytes, and gives the answer.
fn ask(served: &mut Served, id: u64, request: &Request<'_>, size: Option<u64>) -> Response {
    let mut frame = Vec::new();
    encode(&mut frame, id, request, 0, u32::MAX).unwrap();
    let file = size.map(|size| memory(size, SealFlags::SHRINK | SealFlags::GROW));
    send_with(&served.stream, &frame, file.as_ref());
    let (answered, response) = served.read_response();
    assert_eq!(answered, id);
    response
}

fn memory(size: u64, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("test", flags).unwrap();
    rustix::fs::ftruncate(&file, size).unwrap();
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file
}

fn send_with(stream: &UnixStream, bytes: &[u8], file: Option<&OwnedFd>) {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let files: Vec<_> = file.into_iter().map(AsFd::as_fd).collect();
    if !files.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&files));
    }
    let bytes = [IoSlice::new(bytes)];
    rustix::net::sendmsg(stream, &bytes, &mut control, SendFlags::empty()).unwrap();
}

fn kind(response: Response) -> ErrorKind {
    match response {
        Response::Failed(failure) => failure.kind,
        other => panic!("{other:?} is no failure"),
    }
}

/// The size of the least memory for frames.
const LEAST: u64 = 4096 + 2 * 4096;

#[test]
fn sharing_that_is_refused_leaves_the_connection_as_it_is() {
    let service = Service::default();
    let (fixed, none) = (SealFlags::SHRINK | SealFlags::GROW, SealFlags::empty());
    for (size, seals) in [(LEAST, none), (LEAST + 1, fixed), (1 << 40, fixed)] {
        let mut served = greeted(&service);
        let mut frame = Vec::new();
        encode(&mut frame, 1, &Request::Share, 0, u32::MAX).unwrap();
        send_with(&served.stream, &frame, Some(&memory(size, seals)));
        assert_eq!(kind(served.read_response().1), ErrorKind::Memory);
        let pinged = ask(&mut served, 2, &Request::Ping, None);
        assert_eq!(pinged, Response::Done);
    }
    let mut served = greeted(&service);
    let missing = ask(&mut served, 1, &Request::Share, None);
    assert_eq!(kind(missing), ErrorKind::NoFile);

    // Too late, and the file belongs to it and not to the next.
    let late = ask(&mut served, 2, &Request::Share, Some(LEAST));
    assert_eq!(kind(late), ErrorKind::Malformed);
    let request = Request::Allocate {
        size: LEAST,
        shared: true,
    };
    let missing = ask(&mut served, 3, &request, None);
    assert_eq!(kind(missing), ErrorKind::NoFile);
    let there = ask(&mut served, 4, &request, Some(LEAST));
    assert!(matches!(there, Response::Allocated { .. }), "{there:?}");
    let other = ask(&mut served, 5, &request, Some(LEAST + 4096));
    assert_eq!(kind(other), ErrorKind::Memory);
}

#[test]
fn nothing_comes_on_the_old_way_after_memory_is_shared() {
    let service = Service::default();
    let mut served = greeted(&service);
    let mut frames = Vec::new();
    encode(&mut frames, 1, &Request::Share, 0, u32::MAX).unwrap();
    encode(&mut frames, 2, &Request::Ping, 0, u32::MAX).unwrap();
    let file = memory(LEAST, SealFlags::SHRINK | SealFlags::GROW);
    send_with(&served.stream, &frames, Some(&file));
    assert_eq!(served.read_response(), (1, Response::Done));
    let error = served.closed();
    assert!(
        error.to_string().contains("after memory is shared"),
        "{error}"
    );
}

#[test]
fn nonsense_in_the_memory_ends_its_connection_alone() {
    let service = Service::default();
    let other = shared(&service);
    // More written than a ring has; and bytes that are no frame.
    for (written, ring) in [(5000_u32, vec![]), (4096, vec![0xff; 4096])] {
        let mut served = greeted(&service);
        let file = memory(LEAST, SealFlags::SHRINK | SealFlags::GROW);
        let mut frame = Vec::new();
        encode(&mut frame, 1, &Request::Share, 0, u32::MAX).unwrap();
        send_with(&served.stream, &frame, Some(&file));
        assert_eq!(served.read_response(), (1, Response::Done));
        let file = File::from(file);
        file.write_all_at(&ring, 4096).unwrap();
        file.write_all_at(&written.to_le_bytes(), 0).unwrap();
        served.closed();
        other.ping().unwrap();
    }
}

// Ends.

#[test]
fn who_waits_for_an_answer_is_told_that_the_executor_was_killed() {
    require_tools!("clang-22");
    for large in [false, true] {
        let apart = Apart::start();
        let there = There::over(apart.connect());
        let nap = there.function("nap", "void (i32)");
        let sum = there.function("sum", "i64 (ptr, i64)");
        let napping = nap.start(&[Argument::Int(100_000)]).unwrap();
        // Waits for room, if it is large, while the executor naps.
        let sending = thread::spawn(move || {
            let data = if large { vec![1; 8 << 20] } else { Vec::new() };
            let mut arguments = [Argument::In(&data), Argument::Int(data.len() as u64)];
            sum.call(&mut arguments)
        });
        thread::sleep(Duration::from_millis(300));
        assert!(!sending.is_finished());
        apart.process.signal(Signal::KILL);
        let results = soon(move || (napping.wait().is_err(), sending.join().unwrap().is_err()));
        assert_eq!(results, (true, true));
        let again = there.executor.clone();
        assert!(soon(move || again.ping().is_err()));
    }
}

/// A controller that is killed while it waits for an answer, and one that never reads what it asked for: see [`controller`].
#[test]
fn an_executor_whose_controller_was_killed_serves_the_others() {
    require_tools!("clang-22");
    let apart = Apart::start();
    for what in ["idle", "napping", "not reading"] {
        let mut command = farcall_testkit::tools::start(std::env::current_exe().unwrap());
        command.args(["--exact", "controller", "--ignored", "--nocapture"]);
        command.env("CONTROLLER_IS", what);
        command.env("EXECUTOR_IS_AT", apart.process.address.to_string());
        command.stdout(std::process::Stdio::null());
        let mut controller = command.spawn().unwrap();
        let watching = apart.process.connect();
        let wait_for = |connected| {
            for _ in 0..2000 {
                if watching.statistics().unwrap().connected == connected {
                    return;
                }
                thread::sleep(Duration::from_millis(10));
            }
            panic!("{what}: never {connected} connections");
        };
        wait_for(2);
        thread::sleep(Duration::from_millis(500));
        controller.kill().unwrap();
        controller.wait().unwrap();
        // Its connection ends, whatever the executor was about to do for it.
        wait_for(1);
    }
}

/// Not a test: the controller that another test kills.
#[test]
#[ignore = "it is what a process that another test starts does"]
fn controller() {
    let address = std::env::var("EXECUTOR_IS_AT").unwrap().parse().unwrap();
    let there = There::over(Executor::connect_shared(&address).unwrap());
    match std::env::var("CONTROLLER_IS").unwrap().as_str() {
        "idle" => thread::sleep(Duration::from_secs(100)),
        "napping" => {
            let nap = there.function("nap", "void (i32)");
            nap.call(&mut [Argument::Int(2000)]).unwrap();
        }
        "not reading" => {
            let buffer = there.executor.allocate(1 << 20).unwrap();
            let fill = there.function("fill", "void (ptr, i32, i64)");
            let mut large = vec![0; 1 << 20];
            let calls: Vec<_> = (0..4)
                .map(|_| {
                    let arguments = [
                        Argument::Out(&mut large),
                        Argument::Int(1),
                        Argument::Int(1 << 20),
                    ];
                    fill.start(&arguments).unwrap()
                })
                .collect();
            thread::sleep(Duration::from_secs(100));
            drop((calls, buffer));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_controller_that_goes_ends_its_connection_and_leaves_what_is_loaded() {
    require_tools!("clang-22");
    let service = Service::default();
    let mut served = serve(&service);
    let (own, other) = UnixStream::pair().unwrap();
    let stream = std::mem::replace(&mut served.stream, own);
    drop(other);
    let there = There::over(Executor::speak_shared(Connection::unix(stream)).unwrap());
    let digest = there.module.digest;
    drop(there);
    served.thread.join().unwrap().unwrap();
    let executor = shared(&service);
    let turn = executor.call(digest, "turn", Some("i64 ()"), &mut []);
    assert_eq!(turn.unwrap(), int(64, 1));
}
