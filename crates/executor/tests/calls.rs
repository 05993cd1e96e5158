//! Calls: what goes in and comes out, at the same time, and what calls do to the executor.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::sources::{EVERY_KIND, every_kind};
use common::{
    assert_fails, controller, ended, hello, image, in_process, int, number, program, small_service,
    start_in_process,
};
use farcall_executor::{Argument, ErrorKind, Executor, Value};
use farcall_image::Image;
use farcall_protocol::{Callee, Order, Request, encode};
use farcall_testkit::require_tools;

#[test]
fn arguments_and_results_of_every_kind() {
    require_tools!("clang-22");
    let bytes = image(EVERY_KIND);
    let executor = controller(&small_service());
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    every_kind(&mut |function, signature, arguments| {
        executor
            .call(&module, function, Some(signature), arguments)
            .unwrap()
    });
}

#[test]
fn calls_from_four_connections_run_at_the_same_time() {
    require_tools!("clang-22");
    let service = small_service();
    // Each call waits for the other three.
    let bytes = image(
        "static _Atomic int arrived;
         int meet(void) { int n = ++arrived; while (arrived < 4) {} return n; }
         static _Atomic long total;
         long add(long n) { return total += n; }",
    );
    let parsed = Image::parse(&bytes).unwrap();
    let mut threads = Vec::new();
    for _ in 0..4 {
        let executor = controller(&service);
        let module = executor.load(&parsed).unwrap();
        threads.push(thread::spawn(move || {
            let met = number(&executor, &module, "meet");
            for n in 0..500 {
                let add = Some("i64 (i64)");
                executor
                    .call(&module, "add", add, &mut [Argument::Int(n)])
                    .unwrap();
            }
            met
        }));
    }
    let mut met: Vec<_> = threads
        .into_iter()
        .map(|each| each.join().unwrap())
        .collect();
    met.sort_unstable();
    assert_eq!(met, [1, 2, 3, 4]);
    let executor = controller(&service);
    let total = executor.call(
        parsed.digest(),
        "add",
        Some("i64 (i64)"),
        &mut [Argument::Int(0)],
    );
    assert_eq!(total.unwrap(), int(64, 4 * 499 * 500 / 2));
}

#[test]
fn a_module_in_a_call_is_not_unloaded() {
    require_tools!("clang-22");
    let service = small_service();
    let bytes = image(
        "static _Atomic int state;
         int wait(void) { state = 1; while (state == 1) {} return 5; }
         int look(void) { return state; }
         int release(void) { state = 2; return 0; }",
    );
    let executor = controller(&service);
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let caller = controller(&service);
    let call = thread::spawn(move || number(&caller, &module, "wait"));
    while number(&executor, &module, "look") == 0 {
        thread::yield_now();
    }
    assert_fails(
        executor.unload(&module),
        ErrorKind::InUse,
        "in use by a call",
    );
    number(&executor, &module, "release");
    assert_eq!(call.join().unwrap(), 5);
    // The caller has its answer a moment before the executor lets go of the module.
    let start = Instant::now();
    while executor.unload(&module).is_err() {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn buffers_over_the_limits_are_refused() {
    require_tools!("clang-22");
    let executor = controller(&small_service());
    let bytes = image("void f(void *p) {}");
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let mut out = vec![0; (1 << 20) + 1];
    let result = executor.call(
        &module,
        "f",
        Some("void (ptr)"),
        &mut [Argument::Out(&mut out)],
    );
    assert_fails(result, ErrorKind::Memory, "limit of 1048576 bytes");
    let mut out = vec![1; 1 << 20];
    let result = executor.call(
        &module,
        "f",
        Some("void (ptr)"),
        &mut [Argument::Out(&mut out)],
    );
    assert_eq!(result.unwrap(), Value::Void);
    assert!(out.iter().all(|&byte| byte == 0));
}

#[test]
fn what_shipped_code_prints_is_not_in_the_protocol() {
    require_tools!("clang-22");
    let bytes = image(
        "#include <stdio.h>
         #include <stdlib.h>
         int talk(void) { printf(\"printed\\n\"); fflush(stdout); return getchar(); }
         static void bye(void) { puts(\"destroyed\"); fflush(stdout); }
         __attribute__((destructor)) static void fini(void) { bye(); }",
    );
    let mut child = program()
        .args(["--stdio", "--trust-unsigned"])
        .args(in_process())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdout, stdin) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let executor = Executor::over(stdout, stdin).unwrap();
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    // getchar() finds the end of its input, not a frame.
    assert_eq!(number(&executor, &module, "talk"), u64::from(u32::MAX));
    executor.ping().unwrap();
    drop(executor);
    assert_eq!(ended(&mut child).code(), Some(0));
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(stderr.ends_with("here\nprinted\ndestroyed\n"), "{stderr}");
}

#[test]
fn two_processes_run_one_image_and_stop_with_their_destructors() {
    require_tools!("clang-22");
    let bytes = image(
        "#include <stdio.h>
         static int count;
         int next(void) { return ++count; }
         __attribute__((destructor)) static void fini(void) { fprintf(stderr, \"%d calls\\n\", count); }",
    );
    let parsed = Image::parse(&bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("socket").display());
    for (listen, n_calls) in [(unix.as_str(), 3), ("tcp:127.0.0.1:0", 5)] {
        let mut process = start_in_process(listen);
        let executor = process.connect();
        let module = executor.load(&parsed).unwrap();
        for n in 1..=n_calls {
            assert_eq!(number(&executor, &module, "next"), n);
        }
        process.signal(rustix::process::Signal::TERM);
        assert_eq!(process.ended().code(), Some(0));
        let mut stderr = String::new();
        process
            .child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert!(
            stderr.ends_with(&format!("here\n{n_calls} calls\n")),
            "{stderr}"
        );
    }
}

#[test]
fn a_second_signal_ends_an_executor_whose_destructors_do_not() {
    require_tools!("clang-22");
    let bytes = image(
        "#include <unistd.h>
         __attribute__((destructor)) static void fini(void) { write(2, \".\", 1); for (;;) pause(); }",
    );
    let mut process = start_in_process("tcp:127.0.0.1:0");
    process
        .connect()
        .load(&Image::parse(&bytes).unwrap())
        .unwrap();
    process.signal(rustix::process::Signal::TERM);
    let mut stderr = BufReader::new(process.child.stderr.take().unwrap());
    // After the line that says that it loads unsigned images.
    stderr.read_line(&mut String::new()).unwrap();
    stderr.read_exact(&mut [0]).unwrap();
    process.signal(rustix::process::Signal::TERM);
    assert_eq!(process.ended().code(), Some(1));
}

#[test]
fn a_crash_of_shipped_code_ends_the_executor_and_the_controller_is_told() {
    require_tools!("clang-22");
    let bytes = image("#include <stdlib.h>\nint crash(void) { abort(); }");
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", folder.path().join("socket").display());
    let mut process = start_in_process(&listen);
    let executor = process.connect();
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let error = executor
        .call(&module, "crash", Some("i32 ()"), &mut [])
        .unwrap_err();
    assert!(error.to_string().starts_with("connection"), "{error}");
    assert_eq!(process.ended().code(), None);
    // Another one takes its place.
    start_in_process(&listen)
        .connect()
        .load(&Image::parse(&bytes).unwrap())
        .unwrap();
}

#[test]
fn a_controller_that_goes_during_its_call_takes_nothing_along() {
    require_tools!("clang-22");
    let bytes = image(
        "#include <unistd.h>
         static _Atomic int n_calls;
         void slow(char *out) { usleep(100000); n_calls++; }
         int calls(void) { return n_calls; }",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let process = start_in_process(&format!("unix:{}", path.display()));
    let stays = process.connect();
    let module = stays.load(&Image::parse(&bytes).unwrap()).unwrap();

    // The answer is too long to be written to a socket that nobody reads.
    let request = Request::Call {
        function: Callee::Export {
            module: (&module).into(),
            name: "slow",
            signature: Some("void (ptr)"),
        },
        arguments: vec![farcall_protocol::Argument::Out { size: 1 << 19 }],
        order: Order::InTurn,
    };
    let mut frames = hello();
    encode(&mut frames, 1, &request, 0, 1 << 20).unwrap();
    let mut goes = UnixStream::connect(&path).unwrap();
    // It greets whoever connects; who has gone by then asks for nothing.
    goes.read_exact(&mut [0; 4]).unwrap();
    goes.write_all(&frames).unwrap();
    drop(goes);

    let begin = Instant::now();
    while number(&stays, &module, "calls") == 0 {
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    thread::sleep(Duration::from_millis(20));
    assert_eq!(number(&process.connect(), &module, "calls"), 1);
}
