//! `farcall call`, here and in executors.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::fs;

use common::{Executor, Folder, farcall_in, run};
use farcall_testkit::{require_tools, tools};

/// A function of every kind of type that can be given on a command line.
const KINDS: &str = r#"
target triple = "x86_64-pc-linux-gnu"
@table = global [4 x i32] zeroinitializer
@calls = global i32 0
@word = constant [5 x i8] c"word\00"

define zeroext i1 @not(i1 zeroext %x) {
  %r = xor i1 %x, true
  ret i1 %r
}
define i32 @signed8(i8 signext %x) {
  %r = sext i8 %x to i32
  ret i32 %r
}
define i32 @unsigned8(i8 zeroext %x) {
  %r = zext i8 %x to i32
  ret i32 %r
}
define i64 @signed16(i16 signext %x) {
  %w = sext i16 %x to i32
  %r = sext i32 %w to i64
  ret i64 %r
}
define zeroext i8 @next_u8(i8 zeroext %x) {
  %r = add i8 %x, 1
  ret i8 %r
}
define signext i8 @next_i8(i8 signext %x) {
  %r = add i8 %x, 1
  ret i8 %r
}
define zeroext i16 @next_u16(i16 zeroext %x) {
  %r = add i16 %x, 1
  ret i16 %r
}
define i16 @next_i16(i16 %x) {
  %r = add i16 %x, 1
  ret i16 %r
}
define i24 @next_i24(i24 %x) {
  %r = add i24 %x, 1
  ret i24 %r
}
define i32 @next_i32(i32 %x) {
  %r = add i32 %x, 1
  ret i32 %r
}
define i64 @next_i64(i64 %x) {
  %r = add i64 %x, 1
  ret i64 %r
}
define float @half(float %x) {
  %r = fmul float %x, 5.0e-1
  ret float %r
}
define double @half_double(double %x) {
  %r = fmul double %x, 5.0e-1
  ret double %r
}
define double @mixed(i8 signext %a, float %b, i64 %c, double %d) {
  %a1 = sitofp i8 %a to double
  %b1 = fpext float %b to double
  %c1 = sitofp i64 %c to double
  %s1 = fadd double %a1, %b1
  %s2 = fadd double %s1, %c1
  %s3 = fadd double %s2, %d
  ret double %s3
}
define i64 @digits(i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f, i64 %g, i64 %h) {
  %f10 = mul i64 %f, 100
  %g10 = mul i64 %g, 10
  %s1 = add i64 %f10, %g10
  %s2 = add i64 %s1, %h
  ret i64 %s2
}
define i64 @length(ptr %text) {
  %r = call i64 @strlen(ptr %text)
  ret i64 %r
}
define i32 @byte(ptr %bytes, i64 %at) {
  %p = getelementptr i8, ptr %bytes, i64 %at
  %b = load i8, ptr %p
  %r = zext i8 %b to i32
  ret i32 %r
}
define void @fill(ptr %buffer, i8 %value, i64 %count) {
  call void @llvm.memset.p0.i64(ptr %buffer, i8 %value, i64 %count, i1 false)
  ret void
}
define void @copy(ptr %to, ptr %from) {
  %r = call ptr @strcpy(ptr %to, ptr %from)
  ret void
}
define i1 @is_null(ptr %p) {
  %r = icmp eq ptr %p, null
  ret i1 %r
}
define ptr @nowhere() {
  ret ptr null
}
define void @nothing() {
  ret void
}
define i128 @wide(i128 %x) {
  ret i128 %x
}
define i32 @count() {
  %old = load i32, ptr @calls
  %new = add i32 %old, 1
  store i32 %new, ptr @calls
  ret i32 %new
}
declare i64 @strlen(ptr)
declare ptr @strcpy(ptr, ptr)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"#;

/// Calls that are right, and what they print.
const CALLS: &[(&[&str], &str)] = &[
    (&["not", "true"], "false\n"),
    (&["not", "0"], "true\n"),
    (&["signed8", "-1"], "-1\n"),
    (&["signed8", "0xff"], "-1\n"),
    (&["unsigned8", "-1"], "255\n"),
    (&["signed16", "-32768"], "-32768\n"),
    (&["next_u8", "127"], "128\n"),
    (&["next_u8", "255"], "0\n"),
    (&["next_i8", "127"], "-128\n"),
    (&["next_u16", "65534"], "65535\n"),
    (&["next_i16", "32767"], "-32768\n"),
    (&["next_i24", "8388607"], "-8388608\n"),
    (&["next_i32", "-2"], "-1\n"),
    (&["next_i32", "2147483647"], "-2147483648\n"),
    (
        &["next_i64", "0x7fffffffffffffff"],
        "-9223372036854775808\n",
    ),
    (
        &["next_i64", "-9223372036854775808"],
        "-9223372036854775807\n",
    ),
    (&["half", "3"], "1.5\n"),
    (&["half", "-1e30"], "-5e29\n"),
    (&["half_double", "-0.5"], "-0.25\n"),
    (&["half_double", "inf"], "inf\n"),
    (&["half_double", "--", "-inf"], "-inf\n"),
    (&["half_double", "nan"], "NaN\n"),
    (&["mixed", "-1", "0.5", "-100", "0.25"], "-100.25\n"),
    (&["digits", "0", "0", "0", "0", "0", "6", "7", "8"], "678\n"),
    (&["length", "str:four"], "4\n"),
    (&["length", "four"], "4\n"),
    (&["length", ""], "0\n"),
    (&["length", "hex:616200"], "2\n"),
    (&["length", "@text"], "9\n"),
    (&["byte", "hex:00ff7f", "1"], "255\n"),
    (&["fill", "out:3", "65", "2"], "AA\n"),
    (&["fill", "out:3", "-1", "3"], "ffffff\n"),
    (&["fill", "out:0", "0", "0"], "\n"),
    (&["copy", "out:16", "several words"], "several words\n"),
    (&["is_null", "null"], "true\n"),
    (&["is_null", "str:null"], "false\n"),
    (&["nowhere"], "null\n"),
    (&["nothing"], ""),
];

fn kinds() -> Folder {
    let folder = Folder::new();
    folder.write("kinds.ll", KINDS);
    folder.write("text", "from file\0");
    folder.build("kinds", &["kinds.ll"]);
    folder
}

fn call(folder: &Folder, args: &[&str]) -> common::Outcome {
    farcall_in(folder, &[&["call", "kinds"], args].concat())
}

#[test]
fn every_kind_of_argument_and_result_here() {
    let folder = kinds();
    for (args, expected) in CALLS {
        assert_eq!(call(&folder, args).printed(), *expected, "{args:?}");
    }
}

#[test]
fn every_kind_of_argument_and_result_in_executors() {
    let folder = kinds();
    let unix = Executor::in_folder(&folder);
    let tcp = Executor::start("tcp:127.0.0.1:0");
    for executor in [&unix, &tcp] {
        for (args, expected) in CALLS {
            let on = [&["--on", &executor.address], *args].concat();
            assert_eq!(call(&folder, &on).printed(), *expected, "{on:?}");
        }
        // As it is documented, after the arguments.
        let args = ["next_i32", "-5", "--on", &executor.address];
        assert_eq!(call(&folder, &args).printed(), "-4\n");
    }
}

#[test]
fn an_executor_is_called_over_tls_by_whom_it_trusts() {
    let folder = kinds();
    folder.certificates(&["executor", "controller", "stranger"]);
    let executor = Executor::with_tls(&folder);
    let on = ["next_i32", "41", "--on", &executor.address];
    let as_who = |name: &str| {
        let arguments = [
            format!("--tls-certificate={name}.pem"),
            format!("--tls-key={name}.key"),
            "--tls-peer=executor.pem".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        call(&folder, &[&on[..], &arguments].concat())
    };
    assert_eq!(as_who("controller").printed(), "42\n");
    let message = as_who("stranger").refused();
    assert!(
        message.contains("it trusts neither our certificate nor its CA"),
        "{message}"
    );
    let message = call(&folder, &on).refused();
    assert!(message.contains("needs --tls-certificate"), "{message}");
    let tcp = [
        "next_i32",
        "41",
        "--on",
        "tcp:127.0.0.1:1",
        "--tls-key",
        "executor.key",
    ];
    let message = call(&folder, &tcp).refused();
    assert!(message.contains("for tls:HOST:PORT only"), "{message}");
}

#[test]
fn every_kind_of_argument_and_result_in_a_bare_executor() {
    let folder = kinds();
    let path = folder.file("bare");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let service = farcall_bare::Service::new(farcall_bare::Options::default());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            // That an ordinary controller greets it first is an error of that connection.
            let _ = service.serve(&mut &stream, &mut &stream);
        }
    });
    let address = format!("unix:{}", path.display());
    for (args, expected) in CALLS {
        let on = [&["--on", &address], *args].concat();
        assert_eq!(call(&folder, &on).printed(), *expected, "{on:?}");
    }
    // Nothing is left there: a variable starts anew.
    let count = ["count", "--on", &address];
    assert_eq!(
        call(&folder, &count).printed(),
        call(&folder, &count).printed()
    );
}

#[test]
fn an_executor_keeps_what_it_has() {
    let folder = kinds();
    folder.write("other.ll", KINDS.replace("i32 0", "i32 100"));
    folder.build("other", &["other.ll"]);
    let executor = Executor::in_process(&folder);
    let on = |image, function| {
        let args = [
            "call",
            image,
            function,
            "--timings",
            "--on",
            &executor.address,
        ];
        let outcome = farcall_in(&folder, &args);
        (outcome.shipped(), outcome.stdout)
    };
    let size = fs::metadata(folder.file("kinds")).unwrap().len();

    let (sent, first) = on("kinds", "count");
    assert_eq!(first, "1\n");
    assert!(sent > size, "{sent} bytes of {size} are sent");
    for expected in ["2\n", "3\n"] {
        let (sent, again) = on("kinds", "count");
        assert_eq!(again, expected, "its variables live on");
        assert!(sent < 200, "{sent} bytes are sent again");
    }
    assert_eq!(on("other", "count").1, "101\n");
    assert_eq!(on("kinds", "count").1, "4\n");
    // Another executor, or this process, has its own.
    assert_eq!(call(&folder, &["count"]).printed(), "1\n");
    let second = Executor::start("tcp:127.0.0.1:0");
    let args = ["count", "--on", &second.address];
    assert_eq!(call(&folder, &args).printed(), "1\n");
}

#[test]
fn wrong_arguments_show_the_signature() {
    let folder = kinds();
    let executor = Executor::in_folder(&folder);
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["next_i32"],
            &["next_i32 is i32 (i32)", "takes 1 argument, not 0"],
        ),
        (
            &["next_i32", "1", "2"],
            &["i32 (i32)", "takes 1 argument, not 2"],
        ),
        (&["nothing", "1"], &["void ()", "takes 0 arguments, not 1"]),
        (
            &["digits", "1"],
            &["i64 (i64, i64, ", "takes 8 arguments, not 1"],
        ),
        (
            &["next_i32", "1.5"],
            &["i32 (i32)", "\"1.5\": not an integer"],
        ),
        (&["next_i32", "str:x"], &["i32 (i32)", "not an integer"]),
        (
            &["next_i32", "2", "--signature", "i64 (i64)"],
            &["is i32 (i32), not i64 (i64)"],
        ),
        (&["next_i32", "4294967296"], &["does not fit an i32"]),
        (&["next_i8", "-129"], &["does not fit an i8"]),
        (&["not", "2"], &["does not fit an i1"]),
        (&["half", "much"], &["float (float)", "not a number"]),
        (&["wide", "1"], &["i128 (i128)", "an i128 cannot be given"]),
        (
            &["length", "hex:1"],
            &["i64 (ptr)", "not pairs of hexadecimal digits"],
        ),
        (
            &["length", "@missing"],
            &["missing: cannot read: No such file"],
        ),
        (
            &["fill", "out:lots", "1", "1"],
            &["out:SIZE wants a number"],
        ),
        (&["table"], &["table is not a function"]),
        (
            &["next_i23", "1"],
            &["exports no next_i23; similar: next_i24, next_i32"],
        ),
        (
            &["zzzzzzzz"],
            &["exports no zzzzzzzz; farcall inspect lists its"],
        ),
    ];
    for (args, parts) in cases {
        for on in [&[][..], &["--on", &executor.address]] {
            let message = call(&folder, &[on, args].concat()).refused();
            assert!(message.starts_with("kinds: "), "{message}");
            for part in *parts {
                assert!(message.contains(part), "{args:?}: {message}");
            }
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

#[test]
fn an_image_of_objects_needs_a_signature() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let source = "int values[2] = {1, 2}; \
        long add(int a, long b) { return a + b; } \
        int total(const int *v, int n) { int t = 0; while (n--) t += *v++; return t; }";
    folder.compile("add.o", source, &[]);
    folder.build("kinds", &["add.o"]);
    let executor = Executor::in_folder(&folder);
    for on in [&[][..], &["--on", &executor.address]] {
        let call = |args: &[&str]| call(&folder, &[on, args].concat());
        let message = call(&["add", "1", "2"]).refused();
        assert!(
            message.contains("does not know the type of add"),
            "{message}"
        );
        assert!(
            message.contains("--signature 'i32 (i32, ptr)'"),
            "{message}"
        );

        let add = ["add", "-1", "-2", "--signature", "i64 (i32, i64)"];
        assert_eq!(call(&add).printed(), "-3\n");
        let bytes = "hex:0100000002000000ffffffff";
        let total = ["total", bytes, "3", "--signature", "i32 (ptr, i32)"];
        assert_eq!(call(&total).printed(), "2\n");

        let message = call(&["add", "1", "--signature", "i64 (i32, i64)"]).refused();
        assert!(message.contains("add is i64 (i32, i64)"), "{message}");
        let message = call(&["add", "1", "--signature", "long add(int)"]).refused();
        assert!(message.contains("of type int cannot be given"), "{message}");
        let message = call(&["values", "--signature", "i32 ()"]).refused();
        assert!(message.contains("variable"), "{message}");
    }
}

#[test]
fn what_a_function_prints_comes_before_its_result() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let source = "#include <stdio.h>\n\
        int speak(void) { printf(\"said\\n\"); printf(\"no end of line\"); return 7; }";
    folder.compile("speak.bc", source, &[]);
    folder.build("kinds", &["speak.bc"]);
    let printed = call(&folder, &["speak"]).printed();
    assert_eq!(printed, "said\nno end of line7\n");
}

#[test]
fn named_libraries_are_searched() {
    require_tools!("clang-22");
    let folder = Folder::new();
    folder.compile("libother.so", "int other(void) { return 42; }", &[]);
    folder.compile(
        "use.bc",
        "int other(void); int use(void) { return other(); }",
        &[],
    );
    folder.build("kinds", &["use.bc"]);
    let message = call(&folder, &["use"]).refused();
    assert!(
        message.contains("missing symbol: other, used by"),
        "{message}"
    );
    assert_eq!(
        call(&folder, &["use", "-l", "./libother.so"]).printed(),
        "42\n"
    );
    let mut by_name = common::farcall(["call", "kinds", "use", "-l", "other"]);
    by_name.current_dir(folder.path());
    by_name.env("LD_LIBRARY_PATH", folder.path());
    assert_eq!(run(&mut by_name).printed(), "42\n");
    let message = call(&folder, &["use", "-l", "absent"]).refused();
    assert!(message.starts_with("-l absent: "), "{message}");
}

#[test]
fn a_crash_in_an_executor_is_reported_to_the_controller() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let source = "#include <stdlib.h>\nvoid fall(void) { abort(); } int one(void) { return 1; }";
    folder.compile("fall.bc", source, &[]);
    folder.build("kinds", &["fall.bc"]);
    let mut executor = Executor::in_process(&folder);
    let address = executor.address.clone();
    let message = call(&folder, &["fall", "--on", &address]).refused();
    assert!(
        message.contains("connection closed by the peer"),
        "{message}"
    );
    assert!(!common::ended(&mut executor.child).success());
    // Its socket's file is left behind, and does not keep the next one from starting.
    let next = Executor::in_folder(&folder);
    let args = ["one", "--on", &next.address];
    assert_eq!(call(&folder, &args).printed(), "1\n");
    if tools::is_emulated() {
        return;
    }
    // In a worker it is the end of that alone.
    let message = call(&folder, &["fall", "--on", &next.address]).refused();
    assert!(
        message.contains("fall: SIGABRT: it called abort at fall+"),
        "{message}"
    );
    assert_eq!(call(&folder, &args).printed(), "1\n");
}

#[test]
fn what_is_shipped_is_called_like_its_file() {
    let folder = Folder::new();
    folder.write("one.ll", "define i32 @one() { ret i32 1 }");
    folder.build("image", &["one.ll"]);
    fs::rename(folder.file("image"), folder.file("one\x1b[2J.img")).unwrap();
    let listen = format!("unix:{}", folder.file("socket").display());
    let audit = format!("--audit={}", folder.file("audit").display());
    let executor = Executor::start_with(&listen, &[&audit]);
    let path = format!("{}/one\x1b[2J.img", folder.path().display());
    let called = ["call", &path, "one", "--on", &executor.address];
    assert_eq!(farcall_in(&folder, &called).printed(), "1\n");
    let text = fs::read_to_string(folder.file("audit")).unwrap();
    assert!(text.contains(r#""name":"one\\u{1b}[2J.img""#), "{text}");
}
