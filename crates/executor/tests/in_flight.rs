//! Many requests on their way at once, and what belongs to a connection.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::os::fd::AsFd as _;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::{assert_fails, controller, image, int, serve, small_service, start};
use farcall_executor::{
    Argument, Connection, ErrorKind, Executor, LoadOptions, Order, RemoteModule, Service, Value,
};
use farcall_image::Image;
use farcall_testkit::require_tools;

const SOURCE: &str = "
    #include <string.h>
    #include <time.h>
    static volatile long turns;
    long turn(void) { return ++turns; }
    long add(long a, long b) { return a + b; }
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
    static int word = 7;
    int *where(void) { return &word; }
    int what(void) { return word; }
";

struct There {
    executor: Executor,
    module: RemoteModule,
}

fn loaded(executor: Executor) -> There {
    let bytes = image(SOURCE);
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    There { executor, module }
}

/// A connection on which several requests can be on their way.
fn there() -> There {
    let stream = serve(&Service::default()).stream;
    loaded(Executor::speak(Connection::unix(stream)).unwrap())
}

#[test]
fn a_new_image_is_loaded_and_called_in_one_round_trip() {
    require_tools!("clang-22");
    let bytes = image(SOURCE);
    let image = Image::parse(&bytes).unwrap();
    let executor = controller(&small_service());
    let load = executor.start_load(&image, LoadOptions::default()).unwrap();
    let arguments = [Argument::Int(40), Argument::Int(2)];
    let digest = image.digest();
    let call = executor
        .start_call(
            digest,
            "add",
            Some("i64 (i64, i64)"),
            Order::InTurn,
            &arguments,
        )
        .unwrap();
    // In whichever order they are waited for.
    assert_eq!(call.wait().unwrap(), int(64, 42));
    assert!(load.wait().unwrap().was_sent);
}

#[test]
fn many_calls_are_on_their_way_at_once_and_take_their_turns() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let turn = executor.function(&module, "turn", Some("i64 ()")).unwrap();
    let calls: Vec<_> = (0..50_000).map(|_| turn.start(&[]).unwrap()).collect();
    for (nth, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait().unwrap(), int(64, 1 + nth as u64));
    }
    // Waited for backwards, and some not at all.
    let mut calls: Vec<_> = (0..100).map(|_| turn.start(&[]).unwrap()).collect();
    calls.truncate(90);
    for (nth, call) in calls.into_iter().enumerate().rev() {
        assert_eq!(call.wait().unwrap(), int(64, 50_001 + nth as u64));
    }
    assert_eq!(turn.call(&mut []).unwrap(), int(64, 50_101));
}

/// Neither side may wait for the other to read.
#[test]
fn large_calls_are_on_their_way_at_once() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let sum = executor.function(&module, "sum", Some("i64 (ptr, i64)"));
    let fill = executor.function(&module, "fill", Some("void (ptr, i32, i64)"));
    let (sum, fill) = (sum.unwrap(), fill.unwrap());
    let bytes = vec![1; 300_000];
    let sums: Vec<_> = (0..50)
        .map(|_| {
            sum.start(&[Argument::In(&bytes), Argument::Int(300_000)])
                .unwrap()
        })
        .collect();
    let mut buffers = vec![vec![0; 300_000]; 50];
    let fills: Vec<_> = (buffers.iter_mut().enumerate())
        .map(|(nth, buffer)| {
            let value = Argument::Int(nth as u64);
            let call = fill.start(&[Argument::Out(buffer), value, Argument::Int(300_000)]);
            call.unwrap()
        })
        .collect();
    for call in sums {
        assert_eq!(call.wait().unwrap(), int(64, 300_000));
    }
    for (call, buffer) in fills.into_iter().zip(&mut buffers) {
        call.wait_into(&mut [Argument::Out(buffer)]).unwrap();
    }
    for (nth, buffer) in buffers.iter().enumerate() {
        assert!(buffer.iter().all(|&byte| usize::from(byte) == nth));
    }
}

#[test]
fn concurrent_calls_run_at_the_same_time() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let meet = executor
        .function(&module, "meet", Some("i32 (i32)"))
        .unwrap();
    // One after the other they would wait for ever.
    let n = Argument::Int(20);
    let calls: Vec<_> = (0..19)
        .map(|_| {
            meet.start_in(Order::Concurrent, std::slice::from_ref(&n))
                .unwrap()
        })
        .collect();
    executor.ping().unwrap();
    assert_eq!(meet.call(&mut [Argument::Int(20)]).unwrap(), int(32, 20));
    for call in calls {
        assert_eq!(call.wait().unwrap(), int(32, 20));
    }
}

#[test]
fn threads_share_a_connection() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (executor, module, start) = (executor.clone(), &module, &start);
            scope.spawn(move || {
                let add = executor
                    .function(module, "add", Some("i64 (i64, i64)"))
                    .unwrap();
                start.wait();
                for n in 0..2000 {
                    let sum = add.call(&mut [Argument::Int(n), Argument::Int(thread << 32)]);
                    assert_eq!(sum.unwrap(), int(64, n + (thread << 32)));
                }
            });
        }
    });
    let statistics = executor.statistics().unwrap();
    assert_eq!((statistics.calls, statistics.running), (16_000, 0));
}

#[test]
fn what_has_not_begun_can_be_cancelled() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let nap = executor
        .function(&module, "nap", Some("void (i32)"))
        .unwrap();
    let turn = executor.function(&module, "turn", Some("i64 ()")).unwrap();
    let running = nap.start(&[Argument::Int(300)]).unwrap();
    let waiting = turn.start(&[]).unwrap();
    let other = turn.start(&[]).unwrap();
    waiting.cancel().unwrap();
    // It is done, or not begun: never both.
    running.wait().unwrap();
    assert_fails(waiting.wait(), ErrorKind::Cancelled, "before it began");
    assert_eq!(other.wait().unwrap(), int(64, 1));

    // What has begun runs on, and what has ended is no business of anyone's.
    let running = nap
        .start_in(Order::Concurrent, &[Argument::Int(100)])
        .unwrap();
    thread::sleep(Duration::from_millis(30));
    running.cancel().unwrap();
    running.wait().unwrap();
    let ended = turn.start(&[]).unwrap();
    executor.ping().unwrap();
    ended.cancel().unwrap();
    assert_eq!(ended.wait().unwrap(), int(64, 2));
}

#[test]
fn a_result_can_be_asked_for_without_waiting() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let nap = executor
        .function(&module, "nap", Some("void (i32)"))
        .unwrap();
    let mut call = nap
        .start_in(Order::Concurrent, &[Argument::Int(200)])
        .unwrap();
    let start = Instant::now();
    let result = loop {
        match call.try_wait() {
            Ok(result) => break result,
            Err(pending) => call = pending,
        }
        // Somebody has to read.
        executor.ping().unwrap();
        assert!(start.elapsed() < Duration::from_secs(20));
    };
    assert_eq!(result.unwrap(), Value::Void);
}

#[test]
fn a_function_keeps_its_module_until_it_is_dropped() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let add = executor
        .function(&module, "add", Some("i64 (i64, i64)"))
        .unwrap();
    assert_fails(executor.unload(&module), ErrorKind::InUse, "a call");
    let wrong = add.call(&mut [Argument::Int(1)]);
    assert_fails(
        wrong,
        ErrorKind::Arguments,
        "1 arguments for a function of 2",
    );
    drop(add);
    executor.unload(&module).unwrap();
    let gone = executor.function(&module, "add", Some("i64 (i64, i64)"));
    assert_fails(gone, ErrorKind::UnknownModule, "no such module");
}

#[test]
fn a_buffer_stays_between_calls() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let sum = executor
        .function(&module, "sum", Some("i64 (ptr, i64)"))
        .unwrap();
    let fill = executor
        .function(&module, "fill", Some("void (ptr, i32, i64)"))
        .unwrap();
    // More than one frame.
    let n = 5_000_000;
    let buffer = executor.allocate(n).unwrap();
    assert_eq!(buffer.address() % 64, 0);
    let bytes: Vec<u8> = (0..n).map(|at| (at % 251) as u8).collect();
    buffer.write(0, &bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    buffer.read(0, &mut back).unwrap();
    assert!(back == bytes);
    let mut arguments = [Argument::Buffer(&buffer, 1), Argument::Int(4)];
    assert_eq!(sum.call(&mut arguments).unwrap(), int(64, 1 + 2 + 3 + 4));
    let mut arguments = [
        Argument::Buffer(&buffer, 2),
        Argument::Int(9),
        Argument::Int(3),
    ];
    fill.call(&mut arguments).unwrap();
    buffer.read(0, &mut back[..6]).unwrap();
    assert_eq!(back[..6], [0, 1, 9, 9, 9, 5]);

    let beyond = ErrorKind::UnknownBuffer;
    assert_fails(buffer.write(n - 1, &[1, 2]), beyond, "it ends before");
    assert_fails(
        buffer.read(u64::MAX, &mut back[..1]),
        beyond,
        "it ends before",
    );
    let outside = sum.call(&mut [Argument::Buffer(&buffer, n + 1), Argument::Int(0)]);
    assert_fails(outside, beyond, "it ends before");
    assert_fails(
        executor.allocate(1 << 60),
        ErrorKind::Memory,
        "of 4294967296 bytes",
    );
    executor.ping().unwrap();
}

#[test]
fn memory_is_read_and_written_where_it_may_be() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let Value::Pointer(address) = executor
        .call(&module, "where", Some("ptr ()"), &mut [])
        .unwrap()
    else {
        panic!("no pointer");
    };
    assert_eq!(executor.peek(address, 4).unwrap(), [7, 0, 0, 0]);
    executor.poke(address, &[5, 1]).unwrap();
    let word = executor
        .call(&module, "what", Some("i32 ()"), &mut [])
        .unwrap();
    assert_eq!(word, int(32, 256 + 5));
    assert_fails(executor.peek(8, 1), ErrorKind::Memory, "0x8: not readable");
    assert_fails(
        executor.peek(u64::MAX, 2),
        ErrorKind::Memory,
        "not readable",
    );
    // Code stays as it is.
    let code = executor.lookup(&module, "what").unwrap().address;
    assert_fails(
        executor.poke(code, &[0xcc]),
        ErrorKind::Memory,
        "not writable",
    );
    assert!(executor.peek(code, 0).unwrap().is_empty());
}

#[test]
fn statistics_count() {
    require_tools!("clang-22");
    let There { executor, module } = there();
    let before = executor.statistics().unwrap();
    assert_eq!((before.loads, before.modules, before.connected), (1, 1, 1));
    assert!(before.image_bytes > 1000);
    executor
        .call(&module, "what", Some("i32 ()"), &mut [])
        .unwrap();
    executor.lookup(&module, "nothing").unwrap_err();
    executor.unload(&module).unwrap();
    let after = executor.statistics().unwrap();
    assert_eq!((after.loads, after.modules, after.image_bytes), (1, 0, 0));
    assert_eq!((after.calls, after.failures), (1, 1));
}

/// A connection that ends frees what is its own, and leaves modules.
#[test]
fn what_belongs_to_a_connection_goes_with_it() {
    require_tools!("clang-22");
    let service = small_service();
    let There { executor, module } = loaded(controller(&service));
    let add = executor
        .function(&module, "add", Some("i64 (i64, i64)"))
        .unwrap();
    let buffer = executor.allocate(1000).unwrap();
    drop(executor);
    std::mem::forget((add, buffer));
    // They hold the connection; another one does not see them.
    let second = controller(&service);
    assert_fails(second.unload(module.digest), ErrorKind::InUse, "a call");
    assert_eq!(second.statistics().unwrap().connected, 2);

    let There { executor, module } = loaded(controller(&small_service()));
    let add = executor
        .function(&module, "add", Some("i64 (i64, i64)"))
        .unwrap();
    let call = add.start(&[Argument::Int(1), Argument::Int(2)]).unwrap();
    drop((executor, add));
    assert_eq!(call.wait().unwrap(), int(64, 3));
}

#[test]
fn a_file_that_is_not_sealed_or_not_there_is_refused() {
    use farcall_protocol::{Form, Request, encode};
    require_tools!("clang-22");
    let bytes = image(SOURCE);
    let image = Image::parse(&bytes).unwrap();
    let request = Request::Load {
        digest: image.digest(),
        size: bytes.len() as u64,
        name: "",
        scope: None,
        form: Form::File,
    };
    let mut frame = common::hello();
    encode(&mut frame, 1, &request, 0, 1 << 20).unwrap();
    for with_file in [false, true] {
        let mut served = serve(&small_service());
        let open = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut &open, &bytes).unwrap();
        let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut room);
        let files = [open.as_fd()];
        if with_file {
            control.push(rustix::net::SendAncillaryMessage::ScmRights(&files));
        }
        let flags = rustix::net::SendFlags::empty();
        let slices = [std::io::IoSlice::new(&frame)];
        rustix::net::sendmsg(&served.stream, &slices, &mut control, flags).unwrap();
        served.read_frame();
        let farcall_protocol::Response::Failed(failure) = served.read_response().1 else {
            panic!("it was loaded");
        };
        let (kind, part) = match with_file {
            false => (ErrorKind::NoFile, "no file came"),
            true => (ErrorKind::Image, "the file is not sealed"),
        };
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.message.contains(part), "{failure}");
        served.hang_up().unwrap();
    }
}

/// Files that nobody asked for do not pile up.
#[test]
fn too_many_files_end_a_connection() {
    let mut served = serve(&small_service());
    served.send(&common::hello());
    served.read_frame();
    let file = tempfile::tempfile().unwrap();
    let mut closed = false;
    for _ in 0..200 {
        let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut room);
        let files = [file.as_fd()];
        control.push(rustix::net::SendAncillaryMessage::ScmRights(&files));
        let mut ping = Vec::new();
        farcall_protocol::encode(&mut ping, 1, &farcall_protocol::Request::Ping, 0, 100).unwrap();
        let slices = [std::io::IoSlice::new(&ping)];
        let flags = rustix::net::SendFlags::NOSIGNAL;
        closed |= rustix::net::sendmsg(&served.stream, &slices, &mut control, flags).is_err();
    }
    assert!(served.thread.join().unwrap().is_err() || closed);
}

/// To another machine an image goes compressed. A tunnel stands for the way there.
#[test]
fn what_goes_far_is_compressed() {
    require_tools!("clang-22");
    let bytes = image("const char table[200000] = {1, 2, 3}; int f(int n) { return table[n]; }");
    let parsed = Image::parse(&bytes).unwrap();
    let stream = serve(&Service::default()).stream;
    let executor = Executor::speak(Connection::tunnel(stream)).unwrap();
    let before = executor.traffic().sent;
    let module = executor.load(&parsed).unwrap();
    let sent = executor.traffic().sent - before;
    assert!(sent < bytes.len() as u64 / 4, "{sent}");
    let called = executor.call(&module, "f", Some("i32 (i32)"), &mut [Argument::Int(2)]);
    assert_eq!(called.unwrap(), int(32, 3));
}

#[test]
fn a_killed_executor_ends_all_that_is_waited_for() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let process = start(&format!("unix:{}", folder.path().join("socket").display()));
    let There { executor, module } = loaded(process.connect());
    let nap = executor
        .function(&module, "nap", Some("void (i32)"))
        .unwrap();
    let calls: Vec<_> = (0..10)
        .map(|_| {
            nap.start_in(Order::Concurrent, &[Argument::Int(60_000)])
                .unwrap()
        })
        .collect();
    let waiting: Vec<_> = calls
        .into_iter()
        .map(|call| thread::spawn(|| call.wait()))
        .collect();
    thread::sleep(Duration::from_millis(50));
    process.signal(rustix::process::Signal::KILL);
    for thread in waiting {
        thread.join().unwrap().unwrap_err();
    }
    assert!(nap.call(&mut [Argument::Int(1)]).is_err());
}
