//! Peers that send what they should not, too slowly, too much or too often, and such as do not read: to an executor and to a controller.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::watch::{ends, until};
use common::{
    Process, failure, frame, hello, image, in_process, int, start_in_process, start_with,
};
use farcall_executor::{Address, Argument, Error, ErrorKind, Executor, Order};
use farcall_image::Image;
use farcall_protocol::{
    BareHello, Callee, Definition, HELLO_LIMIT, Hello, ModuleName, NO_REQUEST, Request, Response,
    VERSION, decode, encode,
};
use farcall_testkit::require_tools;
use rustix::process::Signal;
use tempfile::TempDir;

struct There {
    process: Process,
    folder: TempDir,
}

impl There {
    fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A controller that is none of ours.
    fn peer(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream
            .set_read_timeout(Some(common::watch::FOREVER))
            .unwrap();
        stream
    }
}

fn there(options: &[&str]) -> There {
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", folder.path().join("socket").display());
    // Its threads and files are looked at, and what sessions share.
    let options = [options, in_process()].concat();
    let process = start_with(&listen, &options);
    There { process, folder }
}

/// The payloads of what a peer says until it hangs up, or in the middle of what it does.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((payload, more)) = more.split_at_checked(length) else {
            break;
        };
        frames.push(payload);
        rest = more;
    }
    frames
}

/// What an executor says to bytes and their end, after its hello.
fn said_to(there: &There, bytes: &[u8]) -> Vec<(u64, Response)> {
    let mut peer = there.peer();
    // It may hang up before it has read all.
    let _ = peer.write_all(bytes);
    let _ = peer.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    let _ = peer.read_to_end(&mut said);
    let frames = frames(&said);
    Hello::decode(frames[0]).unwrap();
    let answers = frames[1..].iter().map(|frame| decode(frame).unwrap());
    answers
        .map(|received| (received.id, received.message))
        .collect()
}

fn request(bytes: &mut Vec<u8>, id: u64, request: &Request<'_>, body: &[u8]) {
    encode(bytes, id, request, body.len(), u32::MAX).unwrap();
    bytes.extend_from_slice(body);
}

/// A conversation with something of everything, and where its frames end.
fn conversation(module: ModuleName<'_>) -> (Vec<u8>, Vec<usize>) {
    let function = Callee::Export {
        module,
        name: "sum",
        signature: Some("i32 (ptr, i32)"),
    };
    let call = |order| Request::Call {
        function,
        arguments: vec![
            farcall_protocol::Argument::In { size: 3 },
            farcall_protocol::Argument::Int(3),
        ],
        order,
    };
    let define = Request::Define {
        name: "bytes",
        value_type: None,
        definition: Definition::Bytes,
    };
    let requests: [(Request<'_>, &[u8]); 9] = [
        (Request::Ping, b""),
        (define, b"five!"),
        (
            Request::Allocate {
                size: 64,
                shared: false,
            },
            b"",
        ),
        (
            Request::Write {
                buffer: 1,
                offset: 0,
            },
            b"some",
        ),
        (call(Order::Concurrent), &[1, 2, 3]),
        (call(Order::InTurn), &[1, 2, 3]),
        (Request::Lookup { module, name: "no" }, b""),
        (Request::List { skip: 0 }, b""),
        (Request::Statistics, b""),
    ];
    let mut bytes = hello();
    let mut edges = vec![bytes.len()];
    for (id, (message, body)) in (1..).zip(requests) {
        request(&mut bytes, id, &message, body);
        edges.push(bytes.len());
    }
    (bytes, edges)
}

const SUM: &str = "
    #include <time.h>
    int sum(const unsigned char *bytes, int n) { int s = 0; while (n--) s += *bytes++; return s; }
    void fill(char *bytes, long n) { while (n--) *bytes++ = 1; }
    static int arrived;
    int meet(int n) {
        struct timespec time = {0, 1000000};
        __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < n) nanosleep(&time, 0);
        return n;
    }
";

#[test]
fn a_conversation_that_is_cut_at_any_byte_is_answered_as_far_as_it_goes() {
    require_tools!("clang-22");
    let there = there(&[]);
    let controller = there.process.connect();
    let bytes = image(SUM);
    let module = controller.load(&Image::parse(&bytes).unwrap()).unwrap();
    let n_descriptors = there.process.n_descriptors();
    let (bytes, edges) = conversation(ModuleName::from(&module));
    for end in 0..=bytes.len() {
        let n_requests = edges
            .iter()
            .filter(|&&edge| edge <= end)
            .count()
            .saturating_sub(1);
        let mut answers = said_to(&there, &bytes[..end]);
        // A concurrent call may end when nobody is there any more.
        let before = answers.len();
        answers.retain(|(id, _)| *id != 5);
        let n_concurrent = usize::from(n_requests >= 5);
        assert!(before - answers.len() <= n_concurrent, "{end}");
        assert_eq!(
            answers.len(),
            n_requests - n_concurrent,
            "{end}: {answers:?}"
        );
        for (id, answer) in &answers {
            let is_failure = matches!(answer, Response::Failed(_));
            assert_eq!(is_failure, *id == 7, "{end}: {id}: {answer:?}");
        }
    }
    until("connections", || there.process.n_serving() == 1);
    until("descriptors", || {
        there.process.n_descriptors() == n_descriptors
    });
    // And byte by byte, which is no fault.
    let mut peer = there.peer();
    for byte in &bytes {
        peer.write_all(&[*byte]).unwrap();
    }
    peer.shutdown(Shutdown::Write).unwrap();
    let mut said = Vec::new();
    peer.read_to_end(&mut said).unwrap();
    assert!(frames(&said).len() >= edges.len() - 1);
    assert_eq!(controller.statistics().unwrap().running, 0);
}

#[test]
fn an_executor_tells_who_speaks_something_else() {
    let there = there(&[]);
    let of_version = |version: u32| {
        let mut hello = hello();
        hello[12..16].copy_from_slice(&version.to_le_bytes());
        hello
    };
    let mut bare = Vec::new();
    let bare_hello = BareHello {
        software: String::new(),
        machine: String::new(),
        features: 0,
        frame_limit: 1 << 20,
        page_size: 0,
    };
    bare_hello.encode(&mut bare).unwrap();
    let older = format!("speaks version {} of", VERSION - 1);
    let newer = format!("speaks version {} of", VERSION + 1);
    let oversized = [&hello()[..], &((1 << 30) + 1_u32).to_le_bytes()].concat();
    for (bytes, kind, part) in [
        (of_version(VERSION - 1), ErrorKind::Malformed, &older[..]),
        (of_version(VERSION + 1), ErrorKind::Malformed, &newer),
        (of_version(0), ErrorKind::Malformed, "speaks version 0 of"),
        (bare, ErrorKind::Malformed, "bare executor"),
        (frame(b""), ErrorKind::Malformed, "does not speak"),
        (
            (HELLO_LIMIT + 1).to_le_bytes().to_vec(),
            ErrorKind::TooLong,
            "65537 bytes",
        ),
        (oversized, ErrorKind::TooLong, "1073741825 bytes"),
        (
            [hello(), frame(&[0x80; 32])].concat(),
            ErrorKind::Malformed,
            "32 bytes",
        ),
    ] {
        let said = said_to(&there, &bytes);
        let [(NO_REQUEST, Response::Failed(failure))] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains(part), "{failure}");
    }
    // An announced frame takes no memory before it comes.
    let before = there.process.resident();
    let peers: Vec<_> = (0..20)
        .map(|_| {
            let mut peer = there.peer();
            let length = (1_u32 << 30).to_le_bytes();
            peer.write_all(&[&hello()[..], &length, b"start"].concat())
                .unwrap();
            peer
        })
        .collect();
    until("connections", || there.process.n_serving() == 20);
    assert!(there.process.resident() < before + (20 << 20));
    drop(peers);
    until("connections", || there.process.n_serving() == 0);
    there.process.connect().ping().unwrap();
}

#[test]
fn a_hello_has_one_time_for_all_its_bytes() {
    let there = there(&["--greeting-time", "1"]);
    // 25 bytes would take 2.5 seconds, and none of them waits long for the next.
    let mut slow = there.peer();
    let mut writer = slow.try_clone().unwrap();
    let writing = thread::spawn(move || {
        for (nth, byte) in hello().iter().enumerate() {
            if writer.write_all(&[*byte]).is_err() {
                return nth;
            }
            thread::sleep(Duration::from_millis(100));
        }
        usize::MAX
    });
    let mut said = Vec::new();
    let _ = slow.read_to_end(&mut said);
    let frames = frames(&said);
    let Response::Failed(failure) = decode(frames[1]).unwrap().message else {
        panic!("{frames:?}");
    };
    assert_eq!(failure.kind, ErrorKind::NotServed);
    assert!(failure.message.contains("not said in time"), "{failure}");
    assert!(writing.join().unwrap() < hello().len());

    // One that says nothing, and another one whose time is its own.
    let mut silent = there.peer();
    let controller = there.process.connect();
    let mut said = Vec::new();
    let _ = silent.read_to_end(&mut said);
    assert_eq!(self::frames(&said).len(), 2);
    thread::sleep(Duration::from_millis(1200));
    controller.ping().unwrap();
    until("connections", || there.process.n_serving() == 1);
}

#[test]
fn one_connection_too_many_is_refused_and_told() {
    let folder = tempfile::tempdir().unwrap();
    for listen in [
        format!("unix:{}", folder.path().join("socket").display()),
        "tcp:127.0.0.1:0".to_owned(),
    ] {
        let mut process = start_with(&listen, &["--max-connections=3", "-v"]);
        let mut three: Vec<_> = (0..3).map(|_| process.connect()).collect();
        for _ in 0..50 {
            let failure = failure(Executor::connect(&process.address));
            assert_eq!(failure.kind, ErrorKind::NotServed);
            assert_eq!(
                failure.message,
                "too many connections: 3 are open, and this executor serves no more"
            );
        }
        three.iter().for_each(|executor| executor.ping().unwrap());
        three.pop();
        until("a place", || Executor::connect(&process.address).is_ok());
        // Those who say nothing take a place too.
        until("both", || process.n_serving() == 2);
        let Address::Tcp { host, port } = &process.address else {
            continue;
        };
        let silent = TcpStream::connect((host.as_str(), *port)).unwrap();
        until("three", || process.n_serving() == 3);
        assert!(Executor::connect(&process.address).is_err());
        drop((silent, three));
        until("a place", || Executor::connect(&process.address).is_ok());
        process.signal(Signal::TERM);
        assert_eq!(process.ended().code(), Some(0));
        let mut log = String::new();
        let mut stderr = process.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        assert!(log.contains("too many connections: 3 are open"), "{log}");
    }
}

/// Asks for calls whose answers no socket's buffer holds, and reads none.
fn unread(there: &There, module: ModuleName<'_>, order: Order, n_calls: u64) -> UnixStream {
    let mut bytes = hello();
    let size = 400_000;
    let fill = Request::Call {
        function: Callee::Export {
            module,
            name: "fill",
            signature: Some("void (ptr, i64)"),
        },
        arguments: vec![
            farcall_protocol::Argument::Out { size },
            farcall_protocol::Argument::Int(size),
        ],
        order,
    };
    for id in 1..=n_calls {
        request(&mut bytes, id, &fill, b"");
    }
    let mut peer = there.peer();
    peer.write_all(&bytes).unwrap();
    peer
}

#[test]
fn a_controller_that_does_not_read_is_hung_up_on() {
    require_tools!("clang-22");
    let there = there(&["--unread-time", "1"]);
    let controller = there.process.connect();
    let bytes = image(SUM);
    let module = controller.load(&Image::parse(&bytes).unwrap()).unwrap();
    for (n_before, order) in (1..).zip([Order::InTurn, Order::Concurrent]) {
        let mut peer = unread(&there, ModuleName::from(&module), order, 8);
        until("it is there", || {
            controller.statistics().unwrap().connections > n_before
        });
        until("it hangs up", || there.process.n_serving() == 1);
        let mut said = Vec::new();
        peer.read_to_end(&mut said).unwrap();
        assert!(said.len() < 8 * 400_000, "{}", said.len());
    }
    // One that asks for nothing for longer may stay.
    thread::sleep(Duration::from_millis(1200));
    controller.ping().unwrap();
}

#[test]
fn a_controller_that_does_not_read_keeps_no_threads_from_others() {
    require_tools!("clang-22");
    let there = there(&[]);
    let controller = there.process.connect();
    let bytes = image(SUM);
    let module = controller.load(&Image::parse(&bytes).unwrap()).unwrap();
    // More than there are threads for calls.
    let peer = unread(&there, ModuleName::from(&module), Order::Concurrent, 300);
    until("all have run", || {
        let statistics = controller.statistics().unwrap();
        statistics.calls == 300 && statistics.running == 0
    });
    let meet = |n| {
        let arguments = [Argument::Int(n)];
        let order = Order::Concurrent;
        controller.start_call(&module, "meet", Some("i32 (i32)"), order, &arguments)
    };
    let calls: Vec<_> = (0..100).map(|_| meet(100).unwrap()).collect();
    ends("calls at the same time", move || {
        for call in calls {
            assert_eq!(call.wait().unwrap(), int(32, 100));
        }
    });
    drop(peer);
    until("connections", || there.process.n_serving() == 1);
}

/// Requests are read ahead to see which are cancelled, and not as many as come.
#[test]
fn what_is_sent_ahead_waits_at_the_sender() {
    require_tools!("clang-22");
    let there = there(&[]);
    let controller = there.process.connect();
    let bytes = image(SUM);
    let module = controller.load(&Image::parse(&bytes).unwrap()).unwrap();
    let before = there.process.resident();
    // Each takes longer than a millisecond, after which it looks ahead.
    let body = vec![1; 4 << 20];
    let sending = controller.clone();
    let calls = ends("sending", move || {
        (0..60)
            .map(|_| {
                let arguments = [Argument::In(&body), Argument::Int(4 << 20)];
                let signature = Some("i32 (ptr, i32)");
                let call = sending.start_call(&module, "sum", signature, Order::InTurn, &arguments);
                call.unwrap()
            })
            .collect::<Vec<_>>()
    });
    let most = there.process.resident();
    assert!(most < before + (60 << 20), "{before} {most}");
    for call in calls {
        assert_eq!(call.wait().unwrap(), int(32, 4 << 20));
    }
}

#[test]
fn connections_that_end_at_once_cost_others_nothing() {
    let process = start_in_process("tcp:127.0.0.1:0");
    let Address::Tcp { host, port } = process.address.clone() else {
        panic!("{}", process.address);
    };
    let n_descriptors = process.n_descriptors();
    for nth in 0..1000 {
        let stream = TcpStream::connect((host.as_str(), port)).unwrap();
        if nth % 2 == 0 {
            // It is reset and not ended.
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    }
    process.connect().ping().unwrap();
    until("connections", || process.n_serving() == 0);
    until("descriptors", || process.n_descriptors() == n_descriptors);
}

/// Listens as an executor does, and does with each connection what is to be done.
fn fake(folder: &TempDir, serve: impl Fn(UnixStream) + Send + 'static) -> Address {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let name = LAST.fetch_add(1, Ordering::Relaxed).to_string();
    let path = folder.path().join(name);
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    format!("unix:{}", path.display()).parse().unwrap()
}

#[test]
fn a_controller_does_not_wait_for_an_executor_that_never_says_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    // One byte a second.
    let slow = fake(&folder, |mut stream| {
        thread::spawn(move || {
            for byte in hello() {
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_secs(1));
            }
        });
    });
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = format!("tcp:{}", silent.local_addr().unwrap())
        .parse()
        .unwrap();
    let late: Vec<_> = [slow, silent_address]
        .map(|address: Address| thread::spawn(move || Executor::connect(&address)))
        .into();
    // One that never takes the connection, of which the system keeps only so many.
    let path = folder.path().join("full");
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let full: Address = format!("unix:{}", path.display()).parse().unwrap();
    let full = thread::spawn(move || Executor::connect(&full));
    // A child that says nothing.
    let (silence, _said) = io::pipe().unwrap();
    let (_heard, to) = io::pipe().unwrap();
    let connection = farcall_executor::Connection::pipes(silence, to);
    let piped = thread::spawn(move || Executor::speak(connection));

    ends("connecting", move || {
        for thread in late {
            let error = thread.join().unwrap().unwrap_err();
            assert!(matches!(error, Error::Silent { .. }), "{error}");
        }
        let error = full.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("cannot connect: timed out"), "{error}");
        let error = piped.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::NoHello), "{error}");
    });
}

#[test]
fn a_controller_whose_executor_reads_nothing_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (hold, held) = std::sync::mpsc::channel();
    let address = fake(&folder, move |mut stream| {
        stream.write_all(&hello()).unwrap();
        hold.send(stream).unwrap();
    });
    let executor = Executor::connect(&address).unwrap();
    let stream = held.recv().unwrap();
    let sender = executor.clone();
    let sending = thread::spawn(move || sender.define_bytes("bytes", &vec![1; (1 << 20) - 100]));
    thread::sleep(Duration::from_millis(100));
    assert!(!sending.is_finished());
    // Another thread is not told either, until the executor ends.
    let waiter = executor.clone();
    let waiting = thread::spawn(move || waiter.ping());
    drop(stream);
    ends("sending", move || {
        assert!(sending.join().unwrap().is_err());
        assert!(waiting.join().unwrap().is_err());
        assert!(executor.ping().is_err());
    });
}

#[test]
fn a_controller_survives_what_an_executor_may_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut done = Vec::new();
    encode(&mut done, 1, &Response::Done, 0, u32::MAX).unwrap();
    let returned = |id, body: &[u8]| {
        let value = farcall_protocol::Value::Void;
        let mut bytes = Vec::new();
        encode(
            &mut bytes,
            id,
            &Response::Returned { value },
            body.len(),
            u32::MAX,
        )
        .unwrap();
        bytes.extend_from_slice(body);
        bytes
    };
    let limit = ((1_u32 << 30) + 1).to_le_bytes();
    for answer in [
        frame(b""),
        frame(b"garbage"),
        frame(&[1, 99]),
        limit.to_vec(),
        u32::MAX.to_le_bytes().to_vec(),
        (1_u32 << 30).to_le_bytes().to_vec(),
        returned(1, b"more than was asked for"),
        returned(2, b""),
        returned(NO_REQUEST, b""),
        returned(1 << 63, b""),
        [&done[..], &done].concat(),
    ] {
        let says = answer.clone();
        let address = fake(&folder, move |mut stream| {
            stream.write_all(&hello()).unwrap();
            // After the first request, and then it is gone.
            for _ in ["hello", "request"] {
                let mut length = [0; 4];
                stream.read_exact(&mut length).unwrap();
                let mut payload = vec![0; u32::from_le_bytes(length) as usize];
                stream.read_exact(&mut payload).unwrap();
            }
            stream.write_all(&says).unwrap();
        });
        ends("a call", move || {
            let executor = Executor::connect(&address).unwrap();
            let mut out = [0; 4];
            let mut arguments = [Argument::Out(&mut out)];
            let result = executor.call("m", "f", Some("void (ptr)"), &mut arguments);
            assert!(result.is_err(), "{answer:?}: {result:?}");
            assert_eq!(out, [0; 4]);
            // The connection is of no more use, or of as much as before.
            let _ = executor.ping();
            assert!(executor.statistics().is_err());
        });
    }
}
