//! The executor is killed, in every state that a controller can be in, or ends at any byte: the controller is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::io::{ErrorKind as Kind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::there::{There, large, slow_start, there, unix};
use common::watch::ends;
use common::{Process, int, start_in_process};
use farcall_executor::{
    Address, Argument, Definition, Error, Executor, Order, RemoteModule, Result, Value,
};
use farcall_image::Image;
use farcall_testkit::require_tools;
use rustix::process::Signal;

/// Each test is one over a Unix socket and over TCP.
fn both(mut test: impl FnMut(&str)) {
    let folder = tempfile::tempdir().unwrap();
    test(&unix(&folder));
    test("tcp:127.0.0.1:0");
}

/// That the error says that the executor is no longer there.
#[track_caller]
fn assert_gone<T: std::fmt::Debug>(result: Result<T>) {
    match result {
        Err(Error::Closed { .. }) => {}
        Err(Error::Connection(error)) => assert!(
            [Kind::BrokenPipe, Kind::ConnectionReset].contains(&error.kind()),
            "{error}"
        ),
        other => panic!("{other:?}"),
    }
}

/// What works no more on a connection whose executor is no longer there. All of it fails, and at once.
fn assert_all_gone(executor: &Executor, module: RemoteModule) {
    let executor = executor.clone();
    ends("a connection that has ended", move || {
        assert_gone(executor.ping());
        assert_gone(executor.statistics());
        assert_gone(executor.list());
        assert_gone(executor.lookup(&module, "add"));
        assert_gone(executor.allocate(1));
        assert_gone(executor.define("a", None, Definition::Address(1)));
        assert_gone(executor.function(&module, "add", None).map(|_| ()));
        let mut arguments = [Argument::Int(1), Argument::Int(2)];
        assert_gone(executor.call(&module, "add", Some("i32 (i32, i32)"), &mut arguments));
        let bytes = slow_start(1);
        assert_gone(executor.load(&Image::parse(&bytes).unwrap()));
        assert_gone(executor.unload(&module));
    });
}

#[test]
fn an_executor_is_killed_while_it_is_connected_to() {
    both(|listen| {
        let mut process = start_in_process(listen);
        let address = process.address.clone();
        // The system has taken the connection, nobody greets.
        process.stop();
        let connecting = thread::spawn({
            let address = address.clone();
            move || Executor::connect(&address)
        });
        thread::sleep(Duration::from_millis(50));
        process.signal(Signal::KILL);
        process.ended();
        let error = ends("connecting", move || connecting.join().unwrap()).unwrap_err();
        // The connection was not made any more where it took longer.
        assert!(
            matches!(error, Error::Closed { .. } | Error::Connect { .. })
                || matches!(&error, Error::Connection(error) if error.kind() == Kind::ConnectionReset),
            "{error:?}"
        );
        let error = ends("connecting again", move || Executor::connect(&address)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("cannot connect: Connection refused"),
            "{text}"
        );
    });
}

#[test]
fn an_executor_is_killed_between_requests() {
    require_tools!("clang-22");
    both(|listen| {
        let There {
            mut process,
            executor,
            module,
        } = there(listen);
        let buffer = executor.allocate(1 << 20).unwrap();
        let add = executor
            .function(&module, "add", Some("i32 (i32, i32)"))
            .unwrap();
        process.signal(Signal::KILL);
        process.ended();
        assert_all_gone(&executor, module);
        ends("what was held", move || {
            assert_gone(buffer.write(0, b"x"));
            assert_gone(buffer.read(0, &mut [0]));
            let arguments = [Argument::Int(1), Argument::Int(2)];
            assert_gone(add.start(&arguments).and_then(|call| call.wait()));
            drop((buffer, add, executor));
        });
    });
}

#[test]
fn an_executor_is_killed_while_an_image_is_sent() {
    require_tools!("clang-22");
    let bytes = Arc::new(large());
    both(|listen| {
        let There {
            mut process,
            executor,
            module,
        } = there(listen);
        process.stop();
        let (sender, image) = (executor.clone(), Arc::clone(&bytes));
        let is_tcp = listen.starts_with("tcp");
        let sending = thread::spawn(move || match is_tcp {
            true => sender.load(&Image::parse(&image).unwrap()).map(|_| ()),
            // Through Unix sockets images are passed, which is done at once, and other bytes are sent.
            false => sender.define_bytes("bytes", &image).map(|_| ()),
        });
        // Another thread waits for its turn to send.
        let waiter = executor.clone();
        let waiting = thread::spawn(move || waiter.ping());
        thread::sleep(Duration::from_millis(100));
        assert!(!sending.is_finished(), "no buffer takes as much");
        process.signal(Signal::KILL);
        process.ended();
        assert_gone(ends("sending", move || sending.join().unwrap()));
        assert_gone(ends("waiting", move || waiting.join().unwrap()));
        assert_all_gone(&executor, module);
    });
}

#[test]
fn an_executor_is_killed_while_it_loads() {
    require_tools!("clang-22");
    let bytes = Arc::new(slow_start(0));
    both(|listen| {
        let There {
            mut process,
            executor,
            module,
        } = there(listen);
        let (loader, image) = (executor.clone(), Arc::clone(&bytes));
        let loading = thread::spawn(move || loader.load(&Image::parse(&image).unwrap()));
        assert_eq!(process.heard(), b'c');
        process.signal(Signal::KILL);
        process.ended();
        assert_gone(ends("loading", move || loading.join().unwrap()));
        assert_all_gone(&executor, module);
    });
}

#[test]
fn an_executor_is_killed_in_calls() {
    require_tools!("clang-22");
    both(|listen| {
        let There {
            mut process,
            executor,
            module,
        } = there(listen);
        let call = |order| {
            executor.start_call(
                &module,
                "stay",
                Some("void (i32)"),
                order,
                &[Argument::Int(0)],
            )
        };
        // Some that run at the same time, one that others wait for, and those.
        let mut calls: Vec<_> = (0..4).map(|_| call(Order::Concurrent).unwrap()).collect();
        calls.extend((0..100).map(|_| call(Order::InTurn).unwrap()));
        for _ in 0..5 {
            assert_eq!(process.heard(), b'c');
        }
        // Threads that wait, of which one reads.
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let executor = executor.clone();
                thread::spawn(move || executor.ping())
            })
            .collect();
        thread::sleep(Duration::from_millis(20));
        process.signal(Signal::KILL);
        process.ended();
        ends("calls", move || {
            calls.into_iter().for_each(|call| assert_gone(call.wait()));
            for thread in waiting {
                assert_gone(thread.join().unwrap());
            }
        });
        assert_all_gone(&executor, module);
    });
}

/// Passes on what goes between a controller and an executor, until the executor has said so many bytes.
fn relay(process: &Process, n_bytes: usize, then: impl FnOnce() + Send + 'static) -> UnixStream {
    let Address::Unix(path) = &process.address else {
        panic!("{}", process.address);
    };
    let executor = UnixStream::connect(path).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut requests, mut to) = (ours.try_clone().unwrap(), executor.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut requests, &mut to));
    thread::spawn(move || {
        let mut some = (&executor).take(n_bytes as u64);
        std::io::copy(&mut some, &mut &ours).unwrap();
        then();
        // What was said before it was killed arrives.
        let _ = std::io::copy(&mut &executor, &mut &ours);
        let _ = ours.shutdown(std::net::Shutdown::Both);
    });
    theirs
}

#[test]
fn an_executor_is_killed_while_a_large_answer_is_read() {
    require_tools!("clang-22");
    const SIZE: usize = 32 << 20;
    for n_bytes in [1000, 100_000, SIZE / 2] {
        let folder = tempfile::tempdir().unwrap();
        let There {
            mut process,
            executor,
            module,
        } = there(&unix(&folder));
        let id = rustix::process::Pid::from_child(&process.child);
        let kill = move || rustix::process::kill_process(id, Signal::KILL).unwrap();
        let stream = relay(&process, n_bytes, kill);
        let reader = Executor::over(stream.try_clone().unwrap(), stream).unwrap();
        let result = ends("reading", move || {
            let mut bytes = vec![0; SIZE];
            let mut arguments = [
                Argument::Out(&mut bytes),
                Argument::Int(7),
                Argument::Int(SIZE as u64),
            ];
            reader.call(
                &module,
                "fill",
                Some("void (ptr, i32, i64)"),
                &mut arguments,
            )
        });
        assert!(
            matches!(result, Err(Error::Closed { in_frame: true })),
            "{result:?}"
        );
        process.ended();
        assert_all_gone(&executor, module);
    }
}

/// An executor that says these bytes and is gone.
fn says(bytes: &[u8]) -> Result<Executor> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut said = ours.try_clone().unwrap();
    said.write_all(bytes).unwrap();
    said.shutdown(std::net::Shutdown::Write).unwrap();
    // It reads all that comes.
    thread::spawn(move || std::io::copy(&mut &ours, &mut std::io::sink()));
    Executor::over(theirs.try_clone().unwrap(), theirs)
}

/// A conversation of a controller, which is the same each time.
fn converse(executor: &Executor, module: farcall_image::Digest) -> Result<Vec<u8>> {
    executor.ping()?;
    executor.list()?;
    executor.lookup(module, "add")?;
    executor.define("one", None, Definition::Address(1))?;
    let add = executor.function(module, "add", Some("i32 (i32, i32)"))?;
    let sum = add.call(&mut [Argument::Int(2), Argument::Int(3)])?;
    assert_eq!(sum, int(32, 5));
    let buffer = executor.allocate(16)?;
    buffer.write(0, b"sixteen bytes ..")?;
    let mut bytes = vec![0; 16];
    buffer.read(0, &mut bytes)?;
    let mut out = [0; 100];
    let mut arguments = [
        Argument::Out(&mut out),
        Argument::Int(1),
        Argument::Int(100),
    ];
    let value = executor.call(module, "fill", Some("void (ptr, i32, i64)"), &mut arguments)?;
    assert_eq!((value, out), (Value::Void, [1; 100]));
    executor.statistics()?;
    Ok(bytes)
}

#[test]
fn an_executor_that_ends_at_any_byte_is_an_error() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let There {
        process, module, ..
    } = there(&unix(&folder));
    // What an executor says in a whole conversation.
    let Address::Unix(path) = &process.address else {
        panic!("{}", process.address);
    };
    let real = UnixStream::connect(path).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut requests, mut to) = (ours.try_clone().unwrap(), real.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut requests, &mut to);
        to.shutdown(std::net::Shutdown::Write)
    });
    let recording = thread::spawn(move || {
        let mut said = Vec::new();
        let (mut real, mut ours) = (&real, &ours);
        let mut piece = [0; 4096];
        loop {
            let n_bytes = real.read(&mut piece).unwrap();
            said.extend_from_slice(&piece[..n_bytes]);
            if n_bytes == 0 || ours.write_all(&piece[..n_bytes]).is_err() {
                return said;
            }
        }
    });
    let controller = Executor::over(theirs.try_clone().unwrap(), theirs).unwrap();
    let read = converse(&controller, module.digest).unwrap();
    assert_eq!(read, b"sixteen bytes ..");
    drop(controller);
    let said = ends("recording", move || recording.join().unwrap());

    let digest = module.digest;
    let n_said = said.len();
    for n_bytes in 0..n_said {
        let said = said[..n_bytes].to_vec();
        let result = ends("a conversation that is cut", move || {
            says(&said).and_then(|executor| converse(&executor, digest))
        });
        match result {
            Err(Error::Closed { .. }) => {}
            Err(Error::Connection(error)) if error.kind() == Kind::BrokenPipe => {}
            // A function and a buffer are let go of in the end, and nobody waits for those answers, of 6 bytes each.
            Ok(read) => assert!(
                read == b"sixteen bytes .." && n_bytes + 2 * 6 >= n_said,
                "{n_bytes} of {n_said}"
            ),
            other => panic!("{n_bytes}: {other:?}"),
        }
    }
}
