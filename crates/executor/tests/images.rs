//! Images in an executor: shipped once, bound, unloaded, by one controller after the other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::thread;

use common::sources::THROWS;
use common::{
    assert_fails, controller, failure, hello, image, int, number, object, serve, small_service,
};
use farcall_executor::{
    Argument, Definition, ErrorKind, Executor, LoadOptions, Service, SymbolKind, Value,
};
use farcall_image::{Digest, Image};
use farcall_protocol::{Form, Request, Response, encode};
use farcall_testkit::{Linker, require_tools};

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
fn an_image_is_sent_once() {
    require_tools!("clang-22");
    let service = small_service();
    let bytes = large_image();
    let parsed = Image::parse(&bytes).unwrap();
    let first = controller(&service);
    let start = first.traffic();
    let module = first.load(&parsed).unwrap();
    assert!(module.was_sent && !module.was_loaded);
    let shipped = first.traffic();
    let n_bytes = bytes.len() as u64;
    assert!((n_bytes..n_bytes + 200).contains(&(shipped.sent - start.sent)));
    // Nobody is asked whether it is there.
    assert_eq!(shipped.requests - start.requests, 1);
    assert_eq!(number(&first, &module, "next"), 1);
    assert_eq!(number(&first, &module, "last"), 7);

    let before = first.traffic();
    let again = first.load(&parsed).unwrap();
    assert!(!again.was_sent && again.was_loaded);
    let after = first.traffic();
    assert!(after.sent - before.sent < 64, "{after:?}");
    assert_eq!(after.requests - before.requests, 1);

    // Another controller, which was there before it was loaded or came later, sends nothing either,
    // and finds the same module.
    let second = controller(&service);
    assert_eq!(second.hello().modules, [module.digest]);
    let before = second.traffic();
    assert!(!second.load(&parsed).unwrap().was_sent);
    assert!(second.traffic().sent - before.sent < 64);
    assert_eq!(number(&second, module.digest, "next"), 2);
}

#[test]
fn a_small_image_takes_one_round_trip() {
    require_tools!("clang-22");
    let bytes = image("int f(void) { return 1; }");
    let parsed = Image::parse(&bytes).unwrap();
    let service = small_service();
    let executor = controller(&service);
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
    let first = controller(&service);
    let options = LoadOptions {
        name: "counter",
        ..LoadOptions::default()
    };
    let module = first
        .load_with(&Image::parse(&bytes).unwrap(), options)
        .unwrap();
    assert_eq!(number(&first, "counter", "next"), 1);
    drop(first);

    let second = controller(&service);
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
    assert_eq!(number(&second, "counter", "next"), 2);
    assert_eq!(number(&second, info.digest, "next"), 3);
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
    let executor = controller(&service);
    let load = |executor: &Executor, source: &str, scope| {
        let bytes = image(source);
        let options = LoadOptions {
            scope,
            ..LoadOptions::default()
        };
        executor
            .load_with(&Image::parse(&bytes).unwrap(), options)
            .unwrap()
    };
    let one = load(&executor, "int value(void) { return 1; }", None);
    let two = load(&executor, "int value(void) { return 2; }", None);
    // The unused number keeps the digests apart.
    let user =
        |n| format!("int value(void); int unused{n} = {n}; int get(void) {{ return value(); }}");
    let by_default = load(&executor, &user(1), None);
    assert_eq!(number(&executor, &by_default, "get"), 1);
    let scope = [two.digest, one.digest];
    let by_scope = load(&executor, &user(2), Some(&scope));
    assert_eq!(number(&executor, &by_scope, "get"), 2);
    let three = load(&executor, "int three(void) { return 3; }", None);
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
    let by_alias = load(&executor, &user(3), None);
    assert_eq!(number(&executor, &by_alias, "get"), 3);

    executor.define_bytes("table", b"constant").unwrap();
    executor
        .define("host_size", None, Definition::Address(40))
        .unwrap();
    let bytes = load(
        &executor,
        "#include <math.h>
         #include <string.h>
         extern const char table[8], host_size[];
         int at(int n) { return table[n]; }
         int size(void) { return (int) (long) host_size; }
         int length(const char *s) { return (int) strlen(s); }
         double root(double x) { return cbrt(x); }",
        None,
    );
    assert_eq!(number(&executor, &bytes, "size"), 40);
    let call = |function, signature, argument| {
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
    assert_eq!(number(&executor, &by_alias, "get"), 3);
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
    let executor = controller(&small_service());
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
    let fails = |function, signature, arguments: &mut [Argument<'_>], kind, part: &str| {
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
    let executor = controller(&small_service());
    let parsed = Image::parse(&bytes).unwrap();
    assert_fails(
        executor.load(&parsed),
        ErrorKind::Image,
        "the bytes were changed",
    );
    assert_eq!(executor.list().unwrap(), []);
}

#[test]
fn another_image_than_the_one_asked_for_is_refused() {
    require_tools!("clang-22");
    let bytes = image("int f(void) { return 1; }");
    let request = Request::Load {
        digest: Digest::from_bytes([1; 32]),
        size: bytes.len() as u64,
        name: "wanted",
        scope: None,
        form: Form::Plain,
    };
    let mut frame = hello();
    encode(&mut frame, 1, &request, bytes.len(), 1 << 20).unwrap();
    frame.extend(bytes);
    let mut served = serve(&small_service());
    served.send(&frame);
    served.read_frame();
    let (1, Response::Failed(failure)) = served.read_response() else {
        panic!("it was loaded");
    };
    assert_eq!(failure.kind, ErrorKind::Image);
    assert!(
        failure
            .message
            .starts_with("wanted: not the image that was meant")
    );
    served.hang_up().unwrap();
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
                let executor = controller(&service);
                let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
                (module.was_loaded, number(&executor, &module, "runs"))
            })
        })
        .collect();
    let mut loads: Vec<_> = loads.into_iter().map(|each| each.join().unwrap()).collect();
    loads.sort_unstable();
    assert_eq!(loads, [(false, 1), (true, 1), (true, 1), (true, 1)]);
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
    let executor = controller(&Service::default());
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
    let executor = controller(&Service::default());
    let mut expected = Vec::new();
    for n in 0..140 {
        let name = format!("{n}.o");
        let bytes = Linker::new().add(name, &object).link().unwrap();
        let parsed = Image::parse(&bytes).unwrap();
        for k in 0..20 {
            let name = format!("{k:02}-{n:0250}");
            let scope = None;
            let options = LoadOptions {
                name: &name,
                scope,
                file: None,
            };
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

#[test]
fn an_exception_is_a_failure_of_its_call_alone() {
    require_tools!("clang-22");
    let executor = controller(&small_service());
    let bytes = image(THROWS);
    let module = executor.load(&Image::parse(&bytes).unwrap()).unwrap();
    let signature = Some("i32 (i32)");
    for _ in 0..3 {
        let threw = executor.call(&module, "f", signature, &mut [Argument::Int(0)]);
        assert_fails(threw, ErrorKind::Threw, "threw int, which nothing caught");
        let value = executor.call(&module, "f", signature, &mut [Argument::Int(7)]);
        assert_eq!(value.unwrap(), int(32, 7));
    }
}

#[test]
fn an_image_for_another_cpu_is_refused_with_all_that_is_missing() {
    require_tools!("clang-22");
    // Of a machine's no processor has all, and one is nobody's.
    let features = if cfg!(target_arch = "aarch64") {
        "faminmax,fp8,frobnicate,lut"
    } else {
        "amx-tile,frobnicate,lwp,tbm"
    };
    let bytes = image(&format!(
        r#"__asm__(".pushsection .farcall.target,\"e\",@progbits\n"
               ".asciz \"chimera\"\n.asciz \"{features}\"\n.popsection");
           int f(void) {{ return 1; }}"#
    ));
    let parsed = Image::parse(&bytes).unwrap();
    let missing = farcall_loader::cpu::missing(&parsed);
    assert!(!missing.features.is_empty() && missing.unknown == ["frobnicate"]);
    let executor = controller(&small_service());
    let failure = failure(executor.load(&parsed));
    let expected = format!(
        "compiled for chimera: this CPU lacks {}, and it requires frobnicate, which this loader does not know; compile it \
         for what this CPU has: --cpu {}, or its source anew where IR names features or it is an object",
        missing.features.join(", "),
        farcall_loader::cpu::level()
    );
    assert_eq!(failure.kind, ErrorKind::Image);
    assert!(failure.message.ends_with(&expected), "{failure}");
    // Another image loads as before.
    executor
        .load(&Image::parse(&large_image()).unwrap())
        .unwrap();
}
