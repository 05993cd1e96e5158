//! Images in an executor: shipped once, bound, called, unloaded, by one controller after the other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{assert_fails, controller, ended, failure, image, object, small_service, start};
use farcall_executor::{
    Argument, Definition, ErrorKind, Executor, LoadOptions, ModuleName, Service, SymbolKind, Value,
};
use farcall_image::Image;
use farcall_linker::Linker;
use farcall_testkit::require_tools;

const fn int(bits: u32, value: u64) -> Value {
    Value::Int { bits, value }
}

/// Calls a function without arguments that returns an `int`.
fn number<'a>(
    executor: &mut Executor,
    module: impl Into<ModuleName<'a>>,
    function: &'a str,
) -> u64 {
    match executor.call(module, function, Some("i32 ()"), &mut []) {
        Ok(Value::Int { bits: 32, value }) => value,
        other => panic!("{function}: {other:?}"),
    }
}

/// An image of more than 64 KiB, with a counter.
fn large_image() -> Vec<u8> {
    image(
        "const unsigned char table[100000] = {[99999] = 7};
         static int count;
         int next(void) { return ++count; }
         int last(void) { return table[99999]; }",
    )
}

#[test]
fn arguments_and_results_of_every_kind() {
    require_tools!("clang-22");
    let bytes = image(
        "#include <stdint.h>
         int8_t negate(int8_t x) { return -x; }
         uint64_t wide(uint64_t x) { return x + 1; }
         float half(float x) { return x / 2; }
         double mixed(int a, double b, float c, long d) { return a + b * c - d; }
         void *same(void *p) { return p; }
         void nothing(void) {}
         long sum(const long *p, long n) { long s = 0; while (n--) s += *p++; return s; }
         void fill(char *p, int n) { for (int i = 0; i < n; i++) p[i] = i; }
         void twice(unsigned char *p, int n) { while (n--) *p++ *= 2; }
         int many(int a, int b, int c, int d, int e, int f, int g, int h) { return g * 10 + h; }
         int copy(const char *from, int unused, char *to, double d, char *both)
         { for (int i = 0; i < 3; i++) { to[i] = from[i]; both[i] += from[i]; } return (int) d; }",
    );
    let mut executor = controller(&small_service());
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let mut call = |function, signature, arguments: &mut [Argument<'_>]| {
        executor
            .call(&module, function, Some(signature), arguments)
            .unwrap()
    };
    use Argument::{Double, Float, In, InOut, Int, Out, Pointer};
    let signature = "signext i8 (i8 signext)";
    assert_eq!(call("negate", signature, &mut [Int(5)]), int(8, 0xfb));
    assert_eq!(call("wide", "i64 (i64)", &mut [Int(u64::MAX)]), int(64, 0));
    assert_eq!(
        call("half", "float (float)", &mut [Float(3.0)]),
        Value::Float(1.5)
    );
    let mut arguments = [Int(1), Double(2.0), Float(3.0), Int(4)];
    let signature = "double (i32, double, float, i64)";
    assert_eq!(call("mixed", signature, &mut arguments), Value::Double(3.0));
    let pointer = call("same", "ptr (ptr)", &mut [Pointer(0x1234)]);
    assert_eq!(pointer, Value::Pointer(0x1234));
    assert_eq!(call("nothing", "void ()", &mut []), Value::Void);
    let longs: Vec<u8> = (1..=1000_i64).flat_map(i64::to_le_bytes).collect();
    let mut arguments = [In(&longs), Int(1000)];
    assert_eq!(
        call("sum", "i64 (ptr, i64)", &mut arguments),
        int(64, 500_500)
    );
    let mut out = [9; 4];
    call("fill", "void (ptr, i32)", &mut [Out(&mut out), Int(3)]);
    assert_eq!(out, [0, 1, 2, 0]);
    let mut both = vec![3; 200_000];
    call(
        "twice",
        "void (ptr, i32)",
        &mut [InOut(&mut both), Int(199_999)],
    );
    assert!(both[..199_999].iter().all(|&byte| byte == 6) && both[199_999] == 3);
    let mut arguments: [Argument<'_>; 8] = std::array::from_fn(|n| Int(n as u64));
    let signature = "i32 (i32, i32, i32, i32, i32, i32, i32, i32)";
    assert_eq!(call("many", signature, &mut arguments), int(32, 67));
    let (mut to, mut both) = ([0; 3], *b"\x01\x01\x01");
    let mut arguments = [
        In(b"abc"),
        Int(0),
        Out(&mut to),
        Double(8.5),
        InOut(&mut both),
    ];
    let signature = "i32 (ptr, i32, ptr, double, ptr)";
    assert_eq!(call("copy", signature, &mut arguments), int(32, 8));
    assert_eq!((&to, &both), (b"abc", b"bcd"));
}

#[test]
fn an_image_is_sent_once() {
    require_tools!("clang-22");
    let service = small_service();
    let bytes = large_image();
    let parsed = Image::parse(&bytes).unwrap();
    let mut first = controller(&service);
    let start = first.traffic();
    let module = first.load(&parsed).unwrap();
    assert!(module.was_sent && !module.was_loaded);
    let shipped = first.traffic();
    let n_bytes = bytes.len() as u64;
    assert!((n_bytes..n_bytes + 200).contains(&(shipped.sent - start.sent)));
    assert_eq!(shipped.requests - start.requests, 2);
    assert_eq!(number(&mut first, &module, "next"), 1);
    assert_eq!(number(&mut first, &module, "last"), 7);

    let before = first.traffic();
    let again = first.load(&parsed).unwrap();
    assert!(!again.was_sent && again.was_loaded);
    let after = first.traffic();
    assert!(after.sent - before.sent < 64, "{after:?}");
    assert_eq!(after.requests - before.requests, 1);

    // Another controller, which was there before it was loaded or came later, sends nothing either,
    // and finds the same module.
    let mut second = controller(&service);
    assert_eq!(second.hello().modules, [module.digest]);
    let before = second.traffic();
    assert!(!second.load(&parsed).unwrap().was_sent);
    assert!(second.traffic().sent - before.sent < 64);
    assert_eq!(number(&mut second, module.digest, "next"), 2);
}

#[test]
fn a_small_image_takes_one_round_trip() {
    require_tools!("clang-22");
    let bytes = image("int f(void) { return 1; }");
    let parsed = Image::parse(&bytes).unwrap();
    let service = small_service();
    let mut executor = controller(&service);
    let module = executor.load(&parsed).unwrap();
    assert!(module.was_sent);
    assert_eq!(executor.traffic().requests, 1);
    let sent = executor.traffic().sent;
    assert!(!executor.load(&parsed).unwrap().was_sent);
    assert!(!controller(&service).load(&parsed).unwrap().was_sent);
    assert!(executor.traffic().sent - sent < 64);
    // One that has been unloaded by somebody else is sent again.
    controller(&service).unload(&module).unwrap();
    assert!(executor.load(&parsed).unwrap().was_sent);
}

#[test]
fn modules_stay_when_their_controller_goes() {
    require_tools!("clang-22");
    let service = small_service();
    let bytes = large_image();
    let mut first = controller(&service);
    let options = LoadOptions {
        name: "counter",
        scope: None,
    };
    let module = first
        .load_with(&Image::parse(&bytes).unwrap(), options)
        .unwrap();
    assert_eq!(number(&mut first, "counter", "next"), 1);
    drop(first);

    let mut second = controller(&service);
    let [info] = &second.list().unwrap()[..] else {
        panic!("one module is loaded");
    };
    assert_eq!(
        (info.digest, info.size),
        (module.digest, bytes.len() as u64)
    );
    assert_eq!(
        (&info.names[..], info.n_exports),
        (&["counter".to_owned()][..], 3)
    );
    assert_eq!(number(&mut second, "counter", "next"), 2);
    assert_eq!(number(&mut second, info.digest, "next"), 3);
    second.unload("counter").unwrap();
    assert_eq!(second.list().unwrap(), []);
    assert_fails(
        second.call("counter", "next", None, &mut []),
        ErrorKind::UnknownModule,
        "counter: no such module is loaded",
    );
}

#[test]
fn imports_come_from_definitions_then_modules_then_the_system() {
    require_tools!("clang-22");
    let service = small_service();
    let mut executor = controller(&service);
    let load = |executor: &mut Executor, source: &str, scope| {
        let bytes = image(source);
        let options = LoadOptions { name: "", scope };
        executor
            .load_with(&Image::parse(&bytes).unwrap(), options)
            .unwrap()
    };
    let one = load(&mut executor, "int value(void) { return 1; }", None);
    let two = load(&mut executor, "int value(void) { return 2; }", None);
    // The unused number keeps the digests apart.
    let user =
        |n| format!("int value(void); int unused{n} = {n}; int get(void) {{ return value(); }}");
    let by_default = load(&mut executor, &user(1), None);
    assert_eq!(number(&mut executor, &by_default, "get"), 1);
    let scope = [two.digest, one.digest];
    let by_scope = load(&mut executor, &user(2), Some(&scope));
    assert_eq!(number(&mut executor, &by_scope, "get"), 2);
    let three = load(&mut executor, "int three(void) { return 3; }", None);
    let alias = Definition::Export {
        module: (&three).into(),
        name: "three",
    };
    let address = executor.define("value", None, alias).unwrap();
    let symbol = executor.lookup(&three, "three").unwrap();
    assert_eq!(
        (symbol.address, symbol.kind),
        (address, SymbolKind::Function)
    );
    let by_alias = load(&mut executor, &user(3), None);
    assert_eq!(number(&mut executor, &by_alias, "get"), 3);

    executor.define_bytes("table", b"constant").unwrap();
    executor
        .define("host_size", None, Definition::Address(40))
        .unwrap();
    let bytes = load(
        &mut executor,
        "#include <math.h>
         #include <string.h>
         extern const char table[8], host_size[];
         int at(int n) { return table[n]; }
         int size(void) { return (int) (long) host_size; }
         int length(const char *s) { return (int) strlen(s); }
         double root(double x) { return cbrt(x); }",
        None,
    );
    assert_eq!(number(&mut executor, &bytes, "size"), 40);
    let mut call = |function, signature, argument| {
        let arguments = &mut [argument];
        executor
            .call(&bytes, function, Some(signature), arguments)
            .unwrap()
    };
    assert_eq!(
        call("at", "i32 (i32)", Argument::Int(2)),
        int(32, u64::from(b'n'))
    );
    assert_eq!(
        call("length", "i32 (ptr)", Argument::In(b"seven..\0")),
        int(32, 7)
    );
    let root = call("root", "double (double)", Argument::Double(8.0));
    assert_eq!(root, Value::Double(2.0));

    // What others import from is not unloaded; in the other order it is.
    for used in [&one, &two, &three] {
        assert_fails(executor.unload(used), ErrorKind::InUse, "");
    }
    assert_eq!(number(&mut executor, &by_alias, "get"), 3);
    for module in [
        &by_default,
        &by_scope,
        &by_alias,
        &one,
        &two,
        &three,
        &bytes,
    ] {
        executor.unload(module).unwrap();
    }
    assert_eq!(executor.list().unwrap(), []);
}

#[test]
fn what_cannot_be_done_is_an_error_and_the_connection_lives() {
    require_tools!("clang-22");
    let mut executor = controller(&small_service());
    let broken = image(
        "int answer_of_all(void); int other_thing(void);
         int f(void) { return answer_of_all() + other_thing(); }",
    );
    executor
        .define("answer_of_al", None, Definition::Address(1))
        .unwrap();
    let parsed = Image::parse(&broken).unwrap();
    let failed = failure(executor.load(&parsed));
    assert_eq!(failed.kind, ErrorKind::Load);
    for part in [
        "2 missing symbols",
        "answer_of_all",
        "other_thing",
        "similar: answer_of_al",
        "libm.so.6",
    ] {
        assert!(failed.message.contains(part), "{part}: {failed}");
    }
    assert_eq!(executor.list().unwrap(), []);
    // With the names defined, the same image loads.
    for name in ["answer_of_all", "other_thing"] {
        executor.define(name, None, Definition::Address(1)).unwrap();
    }
    executor.load(&parsed).unwrap();

    let bytes = image("int add(int a, int b) { return a + b; } int variable;");
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let two = || [Argument::Int(1), Argument::Int(2)];
    let mut fails = |function, signature, arguments: &mut [Argument<'_>], kind, part: &str| {
        assert_fails(
            executor.call(&module, function, signature, arguments),
            kind,
            part,
        );
    };
    let signature = Some("i32 (i32, i32)");
    use ErrorKind::{Arguments, UnknownSymbol};
    fails("ad", signature, &mut two(), UnknownSymbol, "similar: add");
    fails("ad", None, &mut two(), UnknownSymbol, "ad");
    fails("add", None, &mut two(), Arguments, "signature");
    fails(
        "add",
        Some("i32 (i32"),
        &mut two(),
        Arguments,
        "not a function type",
    );
    fails(
        "add",
        signature,
        &mut two()[..1],
        Arguments,
        "i32 (i32, i32)",
    );
    let mut wrong = [Argument::Int(1), Argument::Double(2.0)];
    fails("add", signature, &mut wrong, Arguments, "argument 2");
    fails("variable", Some("i32 ()"), &mut [], Arguments, "variable");
    let result = executor.call(&module, "add", signature, &mut two());
    assert_eq!(result.unwrap(), int(32, 3));
    assert_fails(
        executor.lookup(&module, "subtract"),
        UnknownSymbol,
        "subtract",
    );
    assert_eq!(
        executor.lookup(&module, "variable").unwrap().kind,
        SymbolKind::Data
    );
}

#[test]
fn a_changed_image_is_refused() {
    require_tools!("clang-22");
    let mut bytes = image("int f(void) { return 1; } const char text[] = \"before\";");
    let at = bytes
        .windows(6)
        .position(|window| window == b"before")
        .unwrap();
    bytes[at] = b'B';
    let mut executor = controller(&small_service());
    let parsed = Image::parse(&bytes).unwrap();
    assert_fails(
        executor.load(&parsed),
        ErrorKind::Image,
        "the bytes were changed",
    );
    assert_eq!(executor.list().unwrap(), []);
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
        let mut executor = controller(&service);
        let module = executor.load(&parsed).unwrap();
        threads.push(thread::spawn(move || {
            let met = number(&mut executor, &module, "meet");
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
    let mut executor = controller(&service);
    let total = executor.call(
        parsed.digest(),
        "add",
        Some("i64 (i64)"),
        &mut [Argument::Int(0)],
    );
    assert_eq!(total.unwrap(), int(64, 4 * 499 * 500 / 2));
}

#[test]
fn an_image_that_many_load_at_once_is_loaded_once() {
    require_tools!("clang-22");
    let service = small_service();
    let bytes = image(
        "#include <unistd.h>
         static int n_runs;
         __attribute__((constructor)) static void run(void) { usleep(50000); n_runs++; }
         int runs(void) { return n_runs; }",
    );
    let loads: Vec<_> = (0..4)
        .map(|_| {
            let (service, bytes) = (service.clone(), bytes.clone());
            thread::spawn(move || {
                let mut executor = controller(&service);
                let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
                (module.was_loaded, number(&mut executor, &module, "runs"))
            })
        })
        .collect();
    let mut loads: Vec<_> = loads.into_iter().map(|each| each.join().unwrap()).collect();
    loads.sort_unstable();
    assert_eq!(loads, [(false, 1), (true, 1), (true, 1), (true, 1)]);
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
    let mut executor = controller(&service);
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let mut caller = controller(&service);
    let call = thread::spawn(move || number(&mut caller, &module, "wait"));
    while number(&mut executor, &module, "look") == 0 {
        thread::yield_now();
    }
    assert_fails(
        executor.unload(&module),
        ErrorKind::InUse,
        "in use by a call",
    );
    number(&mut executor, &module, "release");
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
    let mut executor = controller(&small_service());
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
    let mut child = Command::new(env!("CARGO_BIN_EXE_farcall-executor"))
        .arg("--stdio")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdout, stdin) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let mut executor = Executor::over(stdout, stdin).unwrap();
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    // getchar() finds the end of its input, not a frame.
    assert_eq!(number(&mut executor, &module, "talk"), u64::from(u32::MAX));
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
    assert_eq!(stderr, "printed\ndestroyed\n");
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
        let mut process = start(listen);
        let mut executor = process.connect();
        let module = executor.load(&parsed).unwrap();
        for n in 1..=n_calls {
            assert_eq!(number(&mut executor, &module, "next"), n);
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
        assert_eq!(stderr, format!("{n_calls} calls\n"));
    }
}

#[test]
fn a_second_signal_ends_an_executor_whose_destructors_do_not() {
    require_tools!("clang-22");
    let bytes = image(
        "#include <unistd.h>
         __attribute__((destructor)) static void fini(void) { write(2, \".\", 1); for (;;) pause(); }",
    );
    let mut process = start("tcp:127.0.0.1:0");
    process
        .connect()
        .load(&Image::parse(&bytes).unwrap())
        .unwrap();
    process.signal(rustix::process::Signal::TERM);
    let mut stderr = [0];
    let stream = process.child.stderr.as_mut().unwrap();
    stream.read_exact(&mut stderr).unwrap();
    process.signal(rustix::process::Signal::TERM);
    assert_eq!(process.ended().code(), Some(1));
}

#[test]
fn a_crash_of_shipped_code_ends_the_executor_and_the_controller_is_told() {
    require_tools!("clang-22");
    let bytes = image("#include <stdlib.h>\nint crash(void) { abort(); }");
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", folder.path().join("socket").display());
    let mut process = start(&listen);
    let mut executor = process.connect();
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let error = executor
        .call(&module, "crash", Some("i32 ()"), &mut [])
        .unwrap_err();
    assert!(error.to_string().starts_with("connection"), "{error}");
    assert_eq!(process.ended().code(), None);
    // Another one takes its place.
    start(&listen)
        .connect()
        .load(&Image::parse(&bytes).unwrap())
        .unwrap();
}

#[test]
fn a_very_long_message_is_shortened() {
    require_tools!("clang-22");
    let mut source = String::new();
    for n in 0..3000 {
        source += &format!("void missing_{}_{n}(void);", "x".repeat(500));
    }
    source += "void f(void) {";
    for n in 0..3000 {
        source += &format!("missing_{}_{n}();", "x".repeat(500));
    }
    source += "}";
    let bytes = image(&source);
    let mut executor = controller(&Service::default());
    let failed = failure(executor.load(&Image::parse(&bytes).unwrap()));
    assert_eq!(failed.kind, ErrorKind::Load);
    assert!(failed.message.contains("3000 missing symbols"));
    assert!(failed.message.ends_with(" bytes more)"));
    executor.ping().unwrap();
}

#[test]
fn a_list_longer_than_a_response_comes_in_parts() {
    require_tools!("clang-22");
    // The image names the object that refers to an import, so that each has a digest of its own.
    let object = object("int puts(const char *); int f(void) { return puts(0); }");
    let mut executor = controller(&Service::default());
    let mut expected = Vec::new();
    for n in 0..140 {
        let name = format!("{n}.o");
        let bytes = Linker::new().add(name, &object).link().unwrap();
        let parsed = Image::parse(&bytes).unwrap();
        for k in 0..20 {
            let name = format!("{k:02}-{n:0250}");
            let scope = None;
            let options = LoadOptions { name: &name, scope };
            executor.load_with(&parsed, options).unwrap();
        }
        expected.push(parsed.digest());
    }
    let before = executor.traffic().requests;
    let modules = executor.list().unwrap();
    assert_eq!(executor.traffic().requests - before, 2);
    let digests: Vec<_> = modules.iter().map(|module| module.digest).collect();
    assert_eq!(digests, expected);
    for module in modules {
        assert_eq!(module.names.len(), 16);
        assert!(module.names[15].starts_with("15-"));
    }
}
