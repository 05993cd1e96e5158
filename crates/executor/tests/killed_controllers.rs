//! A controller is killed, in every state that it can be in: the executor keeps nothing of it, and serves the next one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::thread;

use common::there::{SOURCE, There, large, slow_start, there, unix};
use common::watch::until;
use common::{hello, image, int, start_in_process};
use farcall_executor::{Address, Argument, Executor, Order};
use farcall_image::Image;
use farcall_protocol::{Request, encode};
use farcall_testkit::{require_tools, tools};
use rustix::process::Signal;
use tempfile::TempDir;

/// How a controller is told what to do before it is killed.
const STATE: &str = "FARCALL_TEST_STATE";
const ADDRESS: &str = "FARCALL_TEST_ADDRESS";
const IMAGES: &str = "FARCALL_TEST_IMAGES";

/// What a controller that is killed has done. One that the executor says of, by a byte, has asked for what takes some time.
const STATES: [(&str, bool); 11] = [
    ("connected", false),
    ("half a hello", false),
    ("greeted", false),
    ("half an image", false),
    ("an image that nobody waits for", false),
    ("loading", true),
    ("in a call", true),
    ("calls in flight", true),
    ("half an answer", false),
    ("buffers", false),
    ("functions", false),
];

/// The process of a controller that is killed; no test if it is not told what to do.
#[test]
fn controller() {
    let Ok(state) = env::var(STATE) else { return };
    let address: Address = env::var(ADDRESS).unwrap().parse().unwrap();
    let images = env::var(IMAGES).unwrap();
    let read = |name| fs::read(format!("{images}/{name}")).unwrap();
    let module = Image::parse(&read("module")).unwrap().digest();
    let ready = || {
        println!("ready");
        std::io::stdout().flush().unwrap();
    };
    let stay = || -> ! {
        ready();
        loop {
            thread::park();
        }
    };
    let say = |bytes: &[u8]| {
        let mut stream = stream(&address);
        stream.write_all(bytes).unwrap();
        stream
    };
    match state.as_str() {
        "connected" => {
            let _stream = say(&[]);
            stay()
        }
        "half a hello" => {
            let _stream = say(&hello()[..20]);
            stay()
        }
        "half an image" => {
            let size: u32 = 64 << 20;
            let _stream = say(&[&hello()[..], &size.to_le_bytes(), &vec![1; 1 << 20]].concat());
            stay()
        }
        "half an answer" => {
            let size = 16 << 20;
            let arguments = vec![
                farcall_protocol::Argument::Out { size },
                farcall_protocol::Argument::Int(7),
                farcall_protocol::Argument::Int(size),
            ];
            let function = farcall_protocol::Callee::Export {
                module: module.into(),
                name: "fill",
                signature: Some("void (ptr, i32, i64)"),
            };
            let mut bytes = large_hello();
            for (id, order) in (1..).zip([Order::Concurrent, Order::InTurn]) {
                let request = Request::Call {
                    function,
                    arguments: arguments.clone(),
                    order,
                };
                encode(&mut bytes, id, &request, 0, u32::MAX).unwrap();
            }
            let mut stream = say(&bytes);
            stream.read_exact(&mut vec![0; 1 << 20]).unwrap();
            stay()
        }
        _ => {}
    }
    let executor = Executor::connect(&address).unwrap();
    let nap = |time, order| {
        let arguments = [Argument::Int(time)];
        executor
            .start_call(module, "nap", Some("void (i32)"), order, &arguments)
            .unwrap()
    };
    let call = || {
        let arguments = [Argument::Int(30)];
        executor.start_call(
            module,
            "stay",
            Some("void (i32)"),
            Order::InTurn,
            &arguments,
        )
    };
    match state.as_str() {
        "greeted" => stay(),
        "an image that nobody waits for" => {
            let bytes = read("large");
            let image = Image::parse(&bytes).unwrap();
            let _load = executor.start_load(&image, Default::default()).unwrap();
            stay()
        }
        "loading" => {
            let bytes = read("slow");
            let _ = executor.load(&Image::parse(&bytes).unwrap());
        }
        "in a call" => {
            let _ = call().unwrap().wait();
        }
        "calls in flight" => {
            let calls: Vec<_> = (0..400).map(|_| nap(20, Order::Concurrent)).collect();
            let call = call().unwrap();
            let others: Vec<_> = (0..400).map(|_| nap(1, Order::InTurn)).collect();
            for call in calls.into_iter().chain([call]).chain(others) {
                let _ = call.wait();
            }
        }
        "buffers" => {
            let bytes = vec![1; 1 << 20];
            let buffers: Vec<_> = (0..16)
                .map(|_| executor.allocate(1 << 20).unwrap())
                .collect();
            buffers
                .iter()
                .for_each(|buffer| buffer.write(0, &bytes).unwrap());
            stay()
        }
        "functions" => {
            let signature = Some("i32 (i32, i32)");
            let _functions: Vec<_> = (0..500)
                .map(|_| executor.function(module, "add", signature).unwrap())
                .collect();
            stay()
        }
        other => panic!("{other}"),
    }
    // It is killed when the executor says so, and not when it is done.
    stay()
}

/// A hello that says that long frames are taken.
fn large_hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    let hello = farcall_protocol::Hello {
        software: String::new(),
        machine: String::new(),
        features: 0,
        frame_limit: 1 << 30,
        docks: false,
        modules: Vec::new(),
    };
    hello.encode(&mut bytes).unwrap();
    bytes
}

trait Stream: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> Stream for T {}

fn stream(address: &Address) -> Box<dyn Stream> {
    match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).unwrap()),
        Address::Tcp { host, port } => {
            Box::new(std::net::TcpStream::connect((host.as_str(), *port)).unwrap())
        }
        Address::Tls { .. } => panic!("these tests speak in the clear"),
    }
}

fn spawn_controller(state: &str, address: &Address, images: &TempDir) -> Child {
    let mut command = tools::start(env::current_exe().unwrap());
    command.args(["--exact", "controller", "--nocapture", "--test-threads=1"]);
    command.env(STATE, state).env(ADDRESS, address.to_string());
    command.env(IMAGES, images.path()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// Kills a controller in each state so often, one after the other, and looks at what the executor has left of them.
fn kill_controllers(listen: &str, n_rounds: usize) {
    let images = tempfile::tempdir().unwrap();
    let module = image(SOURCE);
    for (name, bytes) in [
        ("module", &module),
        ("slow", &slow_start(30)),
        ("large", &large()),
    ] {
        fs::write(images.path().join(name), bytes).unwrap();
    }
    let mut process = start_in_process(listen);
    let watching = process.connect();
    let digest = watching
        .load(&Image::parse(&module).unwrap())
        .unwrap()
        .digest;
    let n_descriptors = process.n_descriptors();
    let mut resident = Vec::new();
    for _ in 0..n_rounds {
        for (state, tells) in STATES {
            let mut controller = spawn_controller(state, &process.address, &images);
            if tells {
                assert_eq!(process.heard(), b'c', "{state}");
            } else {
                let lines = BufReader::new(controller.stdout.take().unwrap()).lines();
                let mut lines = lines.map(|line| line.unwrap());
                assert!(lines.any(|line| line.ends_with("ready")), "{state}");
            }
            controller.kill().unwrap();
            controller.wait().unwrap();
            until(state, || process.n_serving() == 1);
            // The next one is served, and what was loaded is there.
            let next = process.connect();
            let mut arguments = [Argument::Int(2), Argument::Int(3)];
            let sum = next.call(digest, "add", Some("i32 (i32, i32)"), &mut arguments);
            assert_eq!(sum.unwrap(), int(32, 5), "{state}");
            drop(next);
            if state == "loading" {
                let slow = Image::parse(&fs::read(images.path().join("slow")).unwrap())
                    .unwrap()
                    .digest();
                // It was loaded for nobody, whom anybody may follow.
                let two = watching.call(slow, "two", Some("i32 ()"), &mut []);
                assert_eq!(two.unwrap(), int(32, 2));
                watching.unload(slow).unwrap();
            }
        }
        until("calls", || watching.statistics().unwrap().running == 0);
        until("connections", || {
            watching.statistics().unwrap().connected == 1
        });
        until("descriptors", || process.n_descriptors() == n_descriptors);
        let n_modules = watching.list().unwrap().len();
        assert_eq!(n_modules, 2, "the module, and that which nobody waited for");
        resident.push(process.resident());
    }
    // Each round takes some 80 MiB. The allocator keeps a little of that for each of a few threads, but not more each time.
    let (early, late) = resident.split_at(n_rounds / 2);
    let (early, late) = (early.iter().max(), late.iter().max().unwrap());
    assert!(late < &(early.unwrap_or(late) + (24 << 20)), "{resident:?}");
    watching.unload(digest).unwrap();
    process.signal(Signal::TERM);
    assert_eq!(process.ended().code(), Some(0));
}

#[test]
fn controllers_are_killed_at_a_unix_socket() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    kill_controllers(&unix(&folder), tools::rounds(18));
}

#[test]
fn controllers_are_killed_at_tcp() {
    require_tools!("clang-22");
    kill_controllers("tcp:127.0.0.1:0", tools::rounds(4));
}

/// Nothing of a connection is left, however little it is.
#[test]
fn thousands_of_connections_leave_nothing() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let There {
        process,
        executor,
        module,
    } = there(&unix(&folder));
    let n_descriptors = process.n_descriptors();
    let mut rounds = [0; 4];
    for resident in &mut rounds {
        for _ in 0..tools::rounds(500) {
            let other = process.connect();
            let add = other.function(&module, "add", Some("i32 (i32, i32)"));
            let sum = add.unwrap().call(&mut [Argument::Int(2), Argument::Int(3)]);
            assert_eq!(sum.unwrap(), int(32, 5));
            other.allocate(100).unwrap().write(0, &[1; 100]).unwrap();
        }
        until("connections", || process.n_serving() == 1);
        *resident = process.resident();
    }
    // Less than half a kilobyte for each of a thousand connections would be seen.
    assert!(rounds[3] < rounds[1] + (400 << 10), "{rounds:?}");
    assert_eq!(process.n_descriptors(), n_descriptors);
    assert_eq!(executor.statistics().unwrap().connected, 1);
}

/// Of a connection that has ended those calls do not begin that waited for a thread.
#[test]
fn calls_of_a_killed_controller_that_wait_do_not_begin() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let There {
        process,
        executor,
        module,
    } = there(&unix(&folder));
    let other = process.connect();
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            // Together they would take a minute and more: longer than the slowest machine takes to begin them.
            let nap = [Argument::Int(2000)];
            let order = Order::Concurrent;
            other
                .start_call(&module, "nap", Some("void (i32)"), order, &nap)
                .unwrap()
        })
        .collect();
    // All have arrived.
    other.ping().unwrap();
    drop((calls, other));
    until("calls", || {
        let statistics = executor.statistics().unwrap();
        statistics.running == 0 && statistics.connected == 1
    });
    let n_begun = executor.statistics().unwrap().calls;
    assert!(n_begun < 1000, "{n_begun}");
    let mut arguments = [Argument::Int(2), Argument::Int(3)];
    let sum = executor.call(&module, "add", Some("i32 (i32, i32)"), &mut arguments);
    assert_eq!(sum.unwrap(), int(32, 5));
}
