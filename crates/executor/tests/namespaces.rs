//! An executor on another machine, at the end of a cable that loses, delays, or is cut.

// What it tests is the system's and time, neither of which an emulator has of its own.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::panic::Location;
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Process, command_trusting, image, int, start_command};
use farcall_executor::{
    Address, Argument, Error, Executor, Order, Pending, RemoteModule, Result, Timeouts, Value,
};
use farcall_image::Image;
use farcall_testkit::net::{Cable, End, Host, Quality, skips_without_hosts};
use farcall_testkit::require_tools;
use farcall_trust::{SecretKey, Terms};
use rustix::process::Signal;

const SOURCE: &str = "int usleep(unsigned);
     int nap(int ms) { usleep(ms * 1000); return ms; }
     long sum(const long *p, long n) { long s = 0; while (n--) s += *p++; return s; }
     void twice(unsigned char *p, int n) { while (n--) *p++ *= 2; }";

/// How much longer than it may take something is waited for before it is said to hang.
const HANGS: Duration = Duration::from_secs(30);

/// The size of an image, in bytes, that takes a while on its way. Compressing one takes long in a test that is not optimized.
const LARGE: usize = 3 << 20;

/// The size of arguments, in bytes, of which the systems at both ends have room for a part only.
const HUGE: usize = 16 << 20;

const NAP: Option<&str> = Some("i32 (i32)");
const TWICE: Option<&str> = Some("void (ptr, i32)");

/// Whose images load.
static KEY: LazyLock<SecretKey> =
    LazyLock::new(|| SecretKey::generate("machines".parse().unwrap()).unwrap());

fn signed(source: &str) -> Vec<u8> {
    let plain = image(source);
    let image = Image::parse(&plain).unwrap();
    KEY.sign_image(&image, &Terms::default()).unwrap()
}

/// Two machines and an executor on the second. What is dropped last holds the machines.
struct Pair {
    process: Process,
    timeouts: Timeouts,
    image: Vec<u8>,
    /// Threads and open files of the executor when nobody is connected.
    at_rest: (usize, usize),
    /// Read anew when it has changed, or gone.
    _policy: tempfile::NamedTempFile,
    cable: Cable,
    here: Host,
    there: Host,
}

impl Pair {
    /// Both ends give each other up after so many seconds.
    fn start(silence: u64) -> Self {
        let [here, there] = [Host::new().unwrap(), Host::new().unwrap()];
        let cable = Cable::between(&here, &there).unwrap();
        // Not everybody's images load over a network.
        let policy = tempfile::NamedTempFile::new().unwrap();
        fs::write(&policy, format!("key {}\nhost *\n", KEY.public())).unwrap();
        let mut command = command_trusting("tcp:0.0.0.0:0");
        command.args(["--in-process", "--silence", &silence.to_string()]);
        command.arg("--policy").arg(policy.path());
        let process = there.run(|| start_command(command));
        let pair = Self {
            timeouts: Timeouts {
                silence: Duration::from_secs(silence),
                ..Timeouts::default()
            },
            image: signed(SOURCE),
            at_rest: (0, 0),
            _policy: policy,
            process,
            cable,
            here,
            there,
        };
        // What it needs for the first image it keeps.
        let first = signed("int first(void) { return 1; }");
        let executor = pair.local();
        executor.load(&Image::parse(&first).unwrap()).unwrap();
        drop(executor);
        // A connection's thread is the last that goes.
        while pair.held().0 > 1 {
            thread::sleep(Duration::from_millis(1));
        }
        Self {
            at_rest: pair.held(),
            ..pair
        }
    }

    fn address(&self, host: impl ToString) -> Address {
        let Address::Tcp { port, .. } = self.process.address else {
            panic!("it listens at a port");
        };
        let host = host.to_string();
        Address::Tcp { host, port }
    }

    fn try_connect(&self) -> Result<Executor> {
        let address = self.address(self.cable.address(End::Second));
        (self.here).run(|| Executor::connect_with(&address, self.timeouts))
    }

    /// A controller at the other end of the cable.
    fn connect(&self) -> Executor {
        self.try_connect().unwrap()
    }

    /// A controller on the executor's own machine.
    fn local(&self) -> Executor {
        let address = self.address("127.0.0.1");
        self.there.run(|| Executor::connect(&address)).unwrap()
    }

    fn load(&self, executor: &Executor) -> RemoteModule {
        executor.load(&Image::parse(&self.image).unwrap()).unwrap()
    }

    /// What `work` gives, if it does not hang.
    #[track_caller]
    fn in_time<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_time(work, || {
            self.cable.mend();
            self.process.signal(Signal::KILL);
        })
    }

    /// How many threads and open files the executor has.
    fn held(&self) -> (usize, usize) {
        let count = |what| {
            let folder = format!("/proc/{}/{what}", self.process.child.id());
            fs::read_dir(folder).unwrap().count()
        };
        (count("task"), count("fd"))
    }

    /// That the executor serves others, and soon has nothing left of those that it cannot reach.
    fn assert_freed(&self) {
        let local = self.local();
        let module = self.load(&local);
        let mut arguments = [Argument::Int(3)];
        let three = local.call(&module, "nap", NAP, &mut arguments).unwrap();
        assert_eq!(three, int(32, 3));
        drop(local);
        let start = Instant::now();
        while self.held() != self.at_rest {
            let (held, rest) = (self.held(), self.at_rest);
            assert!(start.elapsed() < HANGS, "it keeps {held:?} of {rest:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// That all is well again when the cable is.
    fn assert_mends(&self) {
        self.cable.mend();
        let executor = self.connect();
        let module = self.load(&executor);
        let mut arguments = [Argument::Int(2)];
        let two = executor.call(&module, "nap", NAP, &mut arguments).unwrap();
        assert_eq!(two, int(32, 2));
    }
}

/// What `work` gives. If it hangs, what it waits for is ended, so that the test fails and leaves nothing behind. Machines go with this
/// process.
#[track_caller]
fn in_time<T: Send>(work: impl FnOnce() -> T + Send, end: impl FnOnce()) -> T {
    let caller = Location::caller();
    let (result, hangs) = thread::scope(|scope| {
        let (done, is_done) = mpsc::channel();
        let thread = scope.spawn(move || {
            let result = work();
            // Nobody waits any more if it hung.
            let _ = done.send(());
            result
        });
        let hangs = is_done.recv_timeout(HANGS) == Err(mpsc::RecvTimeoutError::Timeout);
        if hangs {
            end();
            if is_done.recv_timeout(HANGS) == Err(mpsc::RecvTimeoutError::Timeout) {
                // It hangs still, and waiting for the thread would too.
                // To the stream itself: what is printed is kept for a test that ends.
                let _ = writeln!(std::io::stderr(), "it hangs: {caller}");
                std::process::abort();
            }
        }
        (thread.join().unwrap(), hangs)
    });
    assert!(!hangs, "it hangs");
    result
}

/// That a machine out of reach was the reason.
#[track_caller]
fn assert_lost<T: std::fmt::Debug>(result: Result<T>) {
    match result {
        Err(Error::Connection(error)) => {
            let kinds = [
                ErrorKind::TimedOut,
                ErrorKind::HostUnreachable,
                ErrorKind::NetworkUnreachable,
            ];
            assert!(kinds.contains(&error.kind()), "{error:?}");
        }
        other => panic!("not a lost connection: {other:?}"),
    }
}

fn nap(executor: &Executor, module: &RemoteModule, ms: u64) -> Result<Value> {
    executor.call(module, "nap", NAP, &mut [Argument::Int(ms)])
}

/// Doubles all of [`HUGE`] bytes.
fn twice(executor: &Executor, module: &RemoteModule) -> Result<()> {
    let mut both = vec![3; HUGE];
    let mut arguments = [Argument::InOut(&mut both), Argument::Int(HUGE as u64)];
    executor.call(module, "twice", TWICE, &mut arguments)?;
    assert!(both.iter().all(|byte| *byte == 6));
    Ok(())
}

/// An image of [`LARGE`] bytes that cannot be compressed, with a function that gives one of them.
fn large_image() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise");
    let mut state = 0x1234_5678_9abc_def1_u64;
    let noise: Vec<u8> = (0..LARGE)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect();
    fs::write(&path, noise).unwrap();
    signed(&format!(
        "__asm__(\".section .rodata\\nnoise: .incbin \\\"{}\\\"\\n.text\");
         extern const unsigned char noise[] __attribute__((visibility(\"hidden\")));
         int at(long index) {{ return noise[index]; }}",
        path.display()
    ))
}

#[test]
fn a_bad_cable_costs_time_and_nothing_else() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let pair = Pair::start(40);
    pair.cable.set_quality(Quality {
        delay: Duration::from_millis(50),
        loss: 5,
        overtaking: 2,
    });
    let executor = pair.connect();
    let module = pair.load(&executor);
    let longs: Vec<u8> = (1..=4000_i64).flat_map(i64::to_le_bytes).collect();
    let mut arguments = [Argument::In(&longs), Argument::Int(4000)];
    let sum = executor.call(&module, "sum", Some("i64 (ptr, i64)"), &mut arguments);
    assert_eq!(sum.unwrap(), int(64, 8_002_000));
    let mut both = vec![3; 50_000];
    let mut arguments = [Argument::InOut(&mut both), Argument::Int(50_000)];
    let done = executor.call(&module, "twice", TWICE, &mut arguments);
    assert_eq!(done.unwrap(), Value::Void);
    assert!(both.iter().all(|byte| *byte == 6));
    // All on their way at once, in turn and not.
    for order in [Order::InTurn, Order::Concurrent] {
        let calls: Vec<_> = (0..200)
            .map(|ms| {
                let arguments = [Argument::Int(ms % 3)];
                executor.start_call(&module, "nap", NAP, order, &arguments)
            })
            .collect();
        for (ms, call) in (0..).zip(calls) {
            assert_eq!(call.unwrap().wait().unwrap(), int(32, ms % 3));
        }
    }
}

#[test]
fn a_call_may_take_longer_than_a_machine_may_be_silent() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let pair = Pair::start(3);
    let executor = pair.connect();
    let module = pair.load(&executor);
    assert_eq!(nap(&executor, &module, 5000).unwrap(), int(32, 5000));
    drop(executor);
    pair.assert_freed();
}

#[test]
fn a_cable_cut_while_nothing_happens_is_an_error_of_what_is_asked_next() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let pair = Pair::start(2);
    let executor = pair.connect();
    executor.ping().unwrap();
    pair.cable.cut();
    assert_lost(pair.in_time(|| executor.ping()));
    // From then on it is known.
    assert!(pair.in_time(|| executor.ping()).is_err());
    pair.assert_freed();
    pair.assert_mends();
}

#[test]
fn a_cable_cut_during_a_call_is_an_error_of_the_call() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let pair = Pair::start(2);
    let executor = pair.connect();
    let module = pair.load(&executor);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            pair.cable.cut();
        });
        assert_lost(pair.in_time(|| nap(&executor, &module, 1000)));
    });
    pair.assert_freed();
    pair.assert_mends();
}

#[test]
fn a_cable_cut_with_calls_on_their_way_is_an_error_of_each() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let pair = Pair::start(2);
    let executor = pair.connect();
    let module = pair.load(&executor);
    for order in [Order::InTurn, Order::Concurrent] {
        let executor = pair.connect();
        // Some are answered before the cut, some not; the last begins after it.
        let start = |ms| {
            let arguments = [Argument::Int(ms)];
            executor.start_call(&module, "nap", NAP, order, &arguments)
        };
        let calls: Vec<_> = [20; 30].into_iter().chain([500; 10]).map(start).collect();
        let mut calls: Vec<_> = calls.into_iter().map(Result::unwrap).collect();
        assert_eq!(calls.remove(0).wait().unwrap(), int(32, 20));
        pair.cable.cut();
        let late = pair.in_time(|| start(20).and_then(Pending::wait));
        let results = pair.in_time(|| calls.into_iter().map(Pending::wait).collect::<Vec<_>>());
        late.unwrap_err();
        for (place, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) if place < 29 => assert_eq!(value, int(32, 20)),
                result => assert_lost(result),
            }
        }
        pair.cable.mend();
    }
    pair.cable.cut();
    drop(executor);
    pair.assert_freed();
    pair.assert_mends();
}

#[test]
fn a_cable_cut_in_the_middle_of_an_image_or_a_result_is_an_error() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let pair = Pair::start(2);
    let large = large_image();
    let large = Image::parse(&large).unwrap();
    let executor = pair.connect();
    pair.cable.cut_after(End::First, LARGE as u64 / 2);
    assert_lost(pair.in_time(|| executor.load(&large)));
    assert!(pair.cable.is_cut());
    pair.assert_freed();
    assert!(
        pair.local()
            .list()
            .unwrap()
            .iter()
            .all(|module| module.digest != large.digest())
    );

    // Arguments, and what comes back of them.
    for end in [End::First, End::Second] {
        pair.cable.mend();
        let executor = pair.connect();
        let module = pair.load(&executor);
        pair.cable.cut_after(end, HUGE as u64 / 2);
        assert_lost(pair.in_time(|| twice(&executor, &module)));
        assert!(pair.cable.is_cut());
    }
    pair.assert_freed();
    pair.assert_mends();
}

#[test]
fn a_machine_that_vanishes_leaves_nothing_at_the_other() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    // The controller's: no end of the connection arrives, because it goes when the cable is cut already.
    let mut pair = Pair::start(2);
    let executors: Vec<_> = (0..8).map(|_| pair.connect()).collect();
    assert!(pair.held().1 >= pair.at_rest.1 + 8);
    pair.cable.cut();
    drop(executors);
    pair.assert_freed();

    // The executor's.
    pair.cable.mend();
    let executor = pair.connect();
    let module = pair.load(&executor);
    let arguments = [Argument::Int(60_000)];
    let call = executor.start_call(&module, "nap", NAP, Order::InTurn, &arguments);
    thread::sleep(Duration::from_millis(100));
    pair.cable.cut();
    pair.process.child.kill().unwrap();
    pair.process.child.wait().unwrap();
    assert_lost(pair.in_time(|| call.unwrap().wait()));
}

#[test]
fn a_cable_pulled_out_at_either_end_is_an_error() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let pair = Pair::start(2);
    for end in [End::First, End::Second] {
        let executor = pair.connect();
        let module = pair.load(&executor);
        let arguments = [Argument::Int(10_000)];
        let call = executor.start_call(&module, "nap", NAP, Order::InTurn, &arguments);
        pair.cable.pull_out(end).unwrap();
        assert_lost(pair.in_time(|| call.unwrap().wait()));
        pair.assert_freed();
        pair.cable.plug_in(end).unwrap();
        pair.assert_mends();
    }
}

#[test]
fn what_was_interrupted_for_a_moment_goes_on() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let pair = Pair::start(20);
    let large = large_image();
    let large = Image::parse(&large).unwrap();
    let executor = pair.connect();
    let module = pair.load(&executor);
    // During a call.
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            pair.cable.cut();
            thread::sleep(Duration::from_millis(900));
            pair.cable.mend();
        });
        assert_eq!(nap(&executor, &module, 500).unwrap(), int(32, 500));
    });
    // In the middle of an image, and of what comes back.
    let interrupted = |end, n_bytes, work: &mut (dyn FnMut() + Send)| {
        pair.cable.cut_after(end, n_bytes);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !pair.cable.is_cut() {
                    thread::sleep(Duration::from_millis(1));
                }
                thread::sleep(Duration::from_millis(400));
                pair.cable.mend();
            });
            pair.in_time(work);
        });
    };
    interrupted(End::First, LARGE as u64 / 2, &mut || {
        let loaded = executor.load(&large).unwrap();
        assert!(loaded.was_sent);
        let mut arguments = [Argument::Int(LARGE as u64 - 1)];
        let last = executor.call(&loaded, "at", Some("i32 (i64)"), &mut arguments);
        assert!(matches!(last, Ok(Value::Int { bits: 32, .. })), "{last:?}");
    });
    interrupted(End::Second, HUGE as u64 / 2, &mut || {
        twice(&executor, &module).unwrap();
    });
    // The controller's machine is told that it has no cable.
    thread::scope(|scope| {
        scope.spawn(|| {
            pair.cable.pull_out(End::First).unwrap();
            thread::sleep(Duration::from_millis(400));
            pair.cable.plug_in(End::First).unwrap();
        });
        pair.in_time(|| twice(&executor, &module)).unwrap();
    });
}

#[test]
fn a_controller_that_takes_no_answers_is_given_up() {
    require_tools!("clang-22");
    if skips_without_hosts() {
        return;
    }
    let pair = Pair::start(2);
    let executor = pair.connect();
    let module = pair.load(&executor);
    // More than both systems keep for it. What is asked is short, so that sending it needs no reading.
    let mut out = vec![0; HUGE];
    let arguments = [Argument::Out(&mut out), Argument::Int(0)];
    let calls: Vec<_> = (0..4)
        .map(|_| executor.start_call(&module, "twice", TWICE, Order::InTurn, &arguments))
        .collect();
    assert!(calls.iter().all(Result::is_ok));
    pair.assert_freed();
    let mut arguments = [Argument::Out(&mut out), Argument::Int(0)];
    let last = calls.into_iter().last().unwrap().unwrap();
    pair.in_time(|| last.wait_into(&mut arguments)).unwrap_err();
}

#[test]
fn connecting_to_what_does_not_answer_ends_and_says_what_to_do() {
    if skips_without_hosts() {
        return;
    }
    let [here, there] = [Host::new().unwrap(), Host::new().unwrap()];
    let cable = Cable::between(&here, &there).unwrap();
    let timeouts = Timeouts {
        greeting: Duration::from_secs(1),
        ..Timeouts::default()
    };
    let listener = there.run(|| TcpListener::bind((cable.address(End::Second), 0)));
    let port = listener.as_ref().unwrap().local_addr().unwrap().port();
    let connect = |host: std::net::Ipv4Addr, port| {
        let host = host.to_string();
        let address = Address::Tcp { host, port };
        let connected = in_time(
            || here.run(|| Executor::connect_with(&address, timeouts)),
            // What it waits for is the machine at the other end, which may refuse it then.
            || cable.mend(),
        );
        let error = connected.unwrap_err().to_string();
        assert!(error.starts_with(&address.to_string()), "{error}");
        error
    };
    // The system accepts for it, and that is all.
    let error = connect(cable.address(End::Second), port);
    assert!(
        error.contains("does not say who it is, so it is no executor"),
        "{error}"
    );
    drop(listener);
    let error = connect(cable.address(End::Second), port);
    assert!(
        error.contains("nobody listens there: start an executor"),
        "{error}"
    );
    let error = connect(cable.nobody(), port);
    assert!(
        error.contains("see whether the address is right"),
        "{error}"
    );
    cable.cut();
    let error = connect(cable.address(End::Second), port);
    assert!(
        error.contains("the machine is on and its firewall"),
        "{error}"
    );
    let error = connect([192, 0, 2, 1].into(), port);
    assert!(error.contains("the network leads to it"), "{error}");
}
