//! Images in a process without a loader: placed, bound, started, called, taken away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use common::sources::{EVERY_KIND, THROWS, every_kind, image, int};
use common::{Process, assert_fails, controller, number, place, service};
use farcall_executor::{
    Argument, BareError, Error, ErrorKind, Executor, PlaceOptions, Service as OrdinaryService,
    Value,
};
use farcall_image::Image;
use farcall_testkit::require_tools;

#[test]
fn arguments_and_results_of_every_kind() {
    require_tools!("clang-22");
    let bytes = image(EVERY_KIND);
    let executor = controller(&service());
    let module = place(&executor, &bytes);
    every_kind(&mut |function, signature, arguments| {
        executor
            .call(&module, function, Some(signature), arguments)
            .unwrap()
    });
}

#[test]
fn placing_takes_two_round_trips_and_a_call_along_with_it_none() {
    require_tools!("clang-22");
    let bytes = image(
        "#include <stdlib.h>
         static int count;
         __attribute__((constructor)) static void start(void) { count = 40; }
         int add(int n) { return count += abs(n); }",
    );
    let image = Image::parse(&bytes).unwrap();
    let executor = controller(&service());
    let options = PlaceOptions::default();
    let module = executor.place(&image, options).unwrap();
    assert_eq!(executor.traffic().requests, 2);
    // What is sent is what differs from zero, and little more.
    let sent = executor.traffic().sent;
    assert!(sent < bytes.len() as u64, "{sent} of {}", bytes.len());
    let type_of_add = Some("i32 (i32)");
    let arguments = &mut [Argument::Int(2)];
    let value = executor.call(&module, "add", type_of_add, arguments);
    assert_eq!(value.unwrap(), int(32, 42));

    let before = executor.traffic().requests;
    let (other, value) = executor
        .place_and_call(&image, options, "add", type_of_add, arguments)
        .unwrap();
    assert_eq!(
        (value, executor.traffic().requests - before),
        (int(32, 42), 2)
    );
    assert_ne!(module.base(), other.base());
    // Each has its own variables.
    let value = executor.call(&module, "add", type_of_add, arguments);
    assert_eq!(value.unwrap(), int(32, 44));
    for module in [module, other] {
        executor.free(module).unwrap();
    }
}

#[test]
fn imports_come_from_definitions_then_modules_then_the_process() {
    require_tools!("clang-22");
    let executor = controller(&service());
    let [one, two] = [1, 2].map(|n| image(&format!("int value(void) {{ return {n}; }}")));
    let user = image(
        "#include <math.h>
         int value(void);
         __attribute__((weak)) int absent(void);
         extern const char size[];
         int get(void) { return value() + (absent ? absent() : 0); }
         int number(void) { return (int) (long) size; }
         double root(double x) { return cbrt(x); }",
    );
    let user = Image::parse(&user).unwrap();
    let missing = executor.place(&user, PlaceOptions::default()).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "it cannot be placed in a bare executor: not defined: value, size"
    );
    let (one, two) = (place(&executor, &one), place(&executor, &two));
    let definitions = [("size", 40)];
    let modules = [&two, &one];
    let options = PlaceOptions {
        definitions: &definitions,
        modules: &modules,
    };
    let by_modules = executor.place(&user, options).unwrap();
    assert_eq!(number(&executor, &by_modules, "get"), 2);
    assert_eq!(number(&executor, &by_modules, "number"), 40);
    let root = executor.call(
        &by_modules,
        "root",
        Some("double (double)"),
        &mut [Argument::Double(8.0)],
    );
    assert_eq!(root.unwrap(), Value::Double(2.0));
    let value = one.address("value").unwrap();
    let definitions = [("size", 40), ("value", value), ("absent", value)];
    let options = PlaceOptions {
        definitions: &definitions,
        modules: &modules,
    };
    let by_definition = executor.place(&user, options).unwrap();
    assert_eq!(number(&executor, &by_definition, "get"), 2);
}

#[test]
fn what_a_process_offers_is_found_first() {
    require_tools!("clang-22");
    extern "C" fn seven() -> i32 {
        7
    }
    // Also under the name of what the C library has.
    let offered = ["offered", "abs"].map(|name| (name.to_owned(), (seven as *const ()).cast()));
    let service = farcall_bare::Service::with_symbols(farcall_bare::Options::default(), offered);
    let bytes = image(
        "int offered(void);
         int (*volatile absolute)(int);
         int abs(int);
         int f(void) { absolute = abs; return 10 * offered() + absolute(-1); }",
    );
    let executor = controller(&service);
    let module = place(&executor, &bytes);
    assert_eq!(number(&executor, &module, "f"), 77);
}

#[test]
fn constructors_run_in_order_and_destructors_in_reverse() {
    require_tools!("clang-22");
    let bytes = image(
        "#include <stdio.h>
         #include <stdlib.h>
         static void handler(void) { puts(\"handler\"); }
         __attribute__((constructor(101))) static void first(void) { puts(\"first\"); }
         __attribute__((constructor(102))) static void second(int argc, char **argv, char **env)
         { atexit(handler); printf(\"second %d %d %d\\n\", argc, argv[0] == 0, env != 0); }
         __attribute__((destructor(101))) static void last(void) { puts(\"last\"); }
         __attribute__((destructor(102))) static void before(void) { puts(\"before\"); }
         int f(void) { puts(\"called\"); return 1; }",
    );
    let (mut process, executor) = Process::start();
    let module = place(&executor, &bytes);
    assert_eq!(number(&executor, &module, "f"), 1);
    executor.free(module).unwrap();
    drop(executor);
    let (status, printed) = process.ended();
    assert!(status.success(), "{status}");
    assert_eq!(
        printed,
        "first\nsecond 0 1 1\ncalled\nhandler\nbefore\nlast\n"
    );
}

#[test]
fn indirect_functions_are_chosen_there_in_one_more_round_trip() {
    require_tools!("clang-22");
    let bytes = image(
        "static int asked;
         static int plain(int value) { return value + 1; }
         static int (*choose(void))(int) { asked++; return plain; }
         int chosen(int) __attribute__((ifunc(\"choose\")));
         static int hidden(int) __attribute__((ifunc(\"choose\")));
         static int (*const constants[])(int) = { hidden, chosen };
         int (*pointers[])(int) = { chosen, hidden };
         int use(int value) { return chosen(value) + hidden(value) + pointers[value](value) + constants[value](value); }
         int times(void) { return asked; }",
    );
    let executor = controller(&service());
    let module = place(&executor, &bytes);
    assert_eq!(executor.traffic().requests, 3);
    let call = |function| {
        let arguments = &mut [Argument::Int(1)];
        executor
            .call(&module, function, Some("i32 (i32)"), arguments)
            .unwrap()
    };
    assert_eq!(call("use"), int(32, 8));
    assert_eq!(call("chosen"), int(32, 2));
    assert_eq!(number(&executor, &module, "times"), 1);
}

#[test]
fn an_exception_is_a_failure_of_its_call_alone() {
    require_tools!("clang-22");
    let bytes = image(THROWS);
    let image = Image::parse(&bytes).unwrap();
    let executor = controller(&service());
    let module = place(&executor, &bytes);
    let signature = Some("i32 (i32)");
    for _ in 0..3 {
        let threw = executor.call(&module, "f", signature, &mut [Argument::Int(0)]);
        assert_fails(threw, ErrorKind::Threw, "which nothing caught");
        let value = executor.call(&module, "f", signature, &mut [Argument::Int(7)]);
        assert_eq!(value.unwrap(), int(32, 7));
    }
    // One that is placed for such a call is not left there.
    let options = PlaceOptions::default();
    let arguments = &mut [Argument::Int(0)];
    let threw = executor.place_and_call(&image, options, "f", signature, arguments);
    assert_fails(threw, ErrorKind::Threw, "which nothing caught");
    executor.free(module).unwrap();
}

#[test]
fn thread_local_variables_are_refused_by_name() {
    require_tools!("clang-22");
    let bytes = image(
        "_Thread_local int counter;
         int next(void) { return ++counter; }",
    );
    let executor = controller(&service());
    let image = Image::parse(&bytes).unwrap();
    let refused = executor.place(&image, PlaceOptions::default());
    let refused = refused.unwrap_err().to_string();
    assert_eq!(
        refused,
        "it cannot be placed in a bare executor: it has thread-local variables (counter), which take a loader there; \
         an executor with a loader takes it"
    );
    executor.ping().unwrap();
}

#[test]
fn an_image_for_another_cpu_or_machine_is_refused_before_anything_is_asked() {
    require_tools!("clang-22");
    let bytes = image(
        r#"__asm__(".pushsection .farcall.target,\"e\",@progbits\n"
               ".asciz \"chimera\"\n.asciz \"frobnicate\"\n.popsection");
           int f(void) { return 1; }"#,
    );
    let executor = controller(&service());
    let image = Image::parse(&bytes).unwrap();
    let refused = executor.place(&image, PlaceOptions::default());
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the executor's CPU lacks frobnicate"
    );
    assert_eq!(executor.traffic().requests, 0);
}

#[test]
fn wrong_calls_are_refused_before_anything_is_asked() {
    require_tools!("clang-22");
    let bytes = image("int add(int a, int b) { return a + b; } int variable;");
    let executor = controller(&service());
    let module = place(&executor, &bytes);
    let before = executor.traffic().requests;
    let refused = |name, signature, arguments: &mut [Argument<'_>], part: &str| {
        let error = executor.call(&module, name, signature, arguments);
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Bare(_)), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
    };
    let two = || [Argument::Int(1), Argument::Int(2)];
    let signature = Some("i32 (i32, i32)");
    refused(
        "ad",
        signature,
        &mut two(),
        "it exports no ad; similar: add",
    );
    refused("add", None, &mut two(), "a signature such as");
    refused("add", Some("i32 (i32"), &mut two(), "not a function type");
    refused(
        "add",
        signature,
        &mut two()[..1],
        "1 arguments for a function of 2",
    );
    let mut wrong = [Argument::Int(1), Argument::Double(2.0)];
    refused("add", signature, &mut wrong, "argument 2 is a double");
    refused(
        "variable",
        Some("i32 ()"),
        &mut [],
        "variable is not a function",
    );
    let many = format!("void ({})", ["i64"; 40].join(", "));
    let mut arguments: Vec<_> = (0..40).map(Argument::Int).collect();
    refused("add", Some(&many), &mut arguments, "on the stack");
    assert_eq!(executor.traffic().requests, before);
    assert!(matches!(
        module.address("subtract"),
        Err(BareError::NoExport { .. })
    ));
}

#[test]
fn an_image_larger_than_a_frame_comes_in_several() {
    require_tools!("clang-22");
    let bytes = image(
        "const unsigned char table[3000000] = {[0] = 1, [2999999] = 7};
         unsigned char variables[3000000] = {[1] = 2, [2999999] = 3};
         char zeros[8000000];
         int sum(void) { return table[0] + table[2999999] + variables[1] + variables[2999999] + zeros[7999999]; }",
    );
    let executor = controller(&service());
    let module = place(&executor, &bytes);
    assert_eq!(number(&executor, &module, "sum"), 13);
    assert!((12..20).contains(&executor.traffic().requests));
}

#[test]
fn an_image_that_cannot_be_placed_leaves_nothing() {
    require_tools!("clang-22");
    let source = "int missing(void); int f(void) { return missing(); }";
    let large = image(&format!("{source} char large[200000000];"));
    let large = Image::parse(&large).unwrap();
    let fits = image("char large[900000000]; int f(void) { return large[1]; }");
    let executor = controller(&service());
    for _ in 0..10 {
        let error = executor.place(&large, PlaceOptions::default());
        assert!(matches!(error, Err(Error::Bare(BareError::Place { .. }))));
    }
    // All of the limit of 1 GiB is there.
    let module = place(&executor, &fits);
    assert_eq!(number(&executor, &module, "f"), 0);
    let refused = executor.place(&Image::parse(&fits).unwrap(), PlaceOptions::default());
    assert_fails(refused, ErrorKind::Memory, "cannot be reserved");
    executor.free(module).unwrap();
    place(&executor, &fits);
}

#[test]
fn each_kind_of_executor_says_which_it_is() {
    let stream = common::serve(&service()).stream;
    let error = Executor::over(stream.try_clone().unwrap(), stream).unwrap_err();
    assert!(error.to_string().contains("a bare executor"), "{error}");

    let (stream, other) = std::os::unix::net::UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let connection = farcall_executor::Connection::unix(other);
        let _ = OrdinaryService::default().serve(connection);
    });
    let error = farcall_executor::BareExecutor::over(stream.try_clone().unwrap(), stream);
    assert!(matches!(error, Err(Error::Protocol(_))), "{error:?}");
}
