//! Processes that are killed while they shake hands, after any of its bytes.

use std::io::{self, Read as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use farcall_executor::{Address, Error, Executor};
use farcall_testkit::tools;
use rustix::process::Signal;

use crate::certificates::{HOST, client};
use crate::common::watch::{ends, until};
use crate::processes::{connect, controller_process, start_in_process};

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Controller,
    Executor,
}

/// What passes a connection on, until so many bytes of one side's have come to the other.
struct Halfway {
    address: Address,
    reached: mpsc::Receiver<()>,
    ended: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Halfway {
    fn to(executor: &Address, side: Side, n_bytes: u64) -> Self {
        let Address::Tls { port, .. } = *executor else {
            panic!("{executor}");
        };
        let listener = TcpListener::bind((HOST, 0)).unwrap();
        let address = Address::Tls {
            host: HOST.to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let (reach, reached) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let thread = thread::spawn(move || {
            let controller = listener.accept().unwrap().0;
            let executor = TcpStream::connect((HOST, port)).unwrap();
            let (mut from, mut to) = match side {
                Side::Controller => (&controller, &executor),
                Side::Executor => (&executor, &controller),
            };
            thread::scope(|scope| {
                let (mut other_from, mut other_to) = (to, from);
                // It ends with the connection.
                scope.spawn(move || io::copy(&mut other_from, &mut other_to));
                let passed = io::copy(&mut from.by_ref().take(n_bytes), &mut to);
                assert_eq!(passed.unwrap(), n_bytes);
                reach.send(()).unwrap();
                end.recv().unwrap();
                for stream in [&controller, &executor] {
                    // The killed one's may be gone.
                    let _ = stream.shutdown(Shutdown::Both);
                }
            });
        });
        Self {
            address,
            reached,
            ended,
            thread,
        }
    }

    /// Kills a process when so many bytes have come, after which nothing more comes to the other.
    fn kill(self, kill: impl FnOnce()) {
        self.reached.recv().unwrap();
        kill();
        self.ended.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

/// Before the first byte, within a record's head and after it, in the middle of each flight, of which one's are 0.9 KB, and after the handshake.
fn places() -> impl Iterator<Item = u64> {
    let places = [0, 1, 4, 5, 6, 150, 250, 350, 450, 550, 650, 750, 900, 2000];
    // There each takes a process that is slow to start.
    let step = if tools::is_emulated() { 5 } else { 1 };
    places.into_iter().step_by(step)
}

#[test]
fn a_controller_that_is_killed_costs_nobody_anything() {
    let process = start_in_process();
    let others = connect(&process);
    others.ping().unwrap();
    let n_descriptors = process.n_descriptors();
    for side in [Side::Controller, Side::Executor] {
        for n_bytes in places() {
            let halfway = Halfway::to(&process.address, side, n_bytes);
            let mut controller = controller_process(&halfway.address);
            halfway.kill(|| {
                controller.kill().unwrap();
                controller.wait().unwrap();
            });
            others.ping().unwrap();
        }
    }
    until("connections", || process.n_serving() == 1);
    until("descriptors", || process.n_descriptors() == n_descriptors);
    connect(&process).ping().unwrap();
}

#[test]
fn an_executor_that_is_killed_is_an_error_at_once() {
    for side in [Side::Controller, Side::Executor] {
        for n_bytes in places() {
            let mut process = start_in_process();
            let halfway = Halfway::to(&process.address, side, n_bytes);
            let address = halfway.address.clone();
            let controller = thread::spawn(move || {
                let executor = Executor::connect_tls(&address, &client())?;
                loop {
                    executor.ping()?;
                }
            });
            halfway.kill(|| {
                process.signal(Signal::KILL);
                process.ended();
            });
            let error: Result<(), Error> =
                ends("the controller", move || controller.join().unwrap());
            let error = error.unwrap_err().to_string();
            assert!(!error.contains("time"), "{side:?}, {n_bytes}: {error}");
        }
    }
}
