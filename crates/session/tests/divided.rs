//! What IR can say of functions and variables that come to be in images of their own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "calling compiled functions is")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{run, session};
use farcall_session::{Options, Partition, Session, When};

/// A session with a module that is compiled on first call, divided in each way.
fn each_way(ir: &str, check: impl Fn(&Session)) {
    // Those with names of one length are one part.
    let by_length = |name: &str| name.len() as u64;
    for partition in [
        Partition::Functions,
        Partition::Whole,
        Partition::By(Arc::new(by_length)),
    ] {
        println!("{partition:?}");
        let session = session();
        let options = Options::new(When::OnFirstCall).partition(partition);
        session.add("m.ll", ir.as_bytes(), options).unwrap();
        check(&session);
    }
}

/// What `main` gives, whichever way the module is divided.
fn gives(ir: &str, expected: i32) {
    each_way(ir, |session| assert_eq!(run(session, "main"), expected));
}

/// Runs `main` until the code of the last tier does, which gives something else than that of the first: it asks whether LLVM
/// knows a constant, which it does where it optimizes.
fn tiers(ir: &str, step: i32) {
    let session = session();
    let options = Options::new(When::OnFirstCall).tier_up();
    session.add("m.ll", ir.as_bytes(), options).unwrap();
    let mut expected = step;
    assert_eq!(run(&session, "main"), expected);
    let start = Instant::now();
    while run(&session, "is_last") == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "it stays");
        std::thread::sleep(Duration::from_millis(1));
    }
    // The functions are in the queue in the order of their first calls.
    for _ in 0..3 {
        expected += step;
        assert_eq!(run(&session, "main"), expected);
    }
}

/// `is_last` says whether it was optimized.
const IS_LAST: &str = "
    declare i1 @llvm.is.constant.i32(i32)
    define i32 @is_last() { %a = add i32 1, 1
      %c = call i1 @llvm.is.constant.i32(i32 %a)
      %r = zext i1 %c to i32
      ret i32 %r }";

#[test]
fn local_functions_and_variables_are_shared() {
    gives(
        r#"@n = internal global i32 1
        @text = private unnamed_addr constant [3 x i8] c"hi\00"
        @0 = private unnamed_addr constant i32 5
        define internal i32 @add(i32 %by) noinline { %v = load i32, ptr @n
          %s = add i32 %v, %by
          store i32 %s, ptr @n
          ret i32 %s }
        define i32 @one() { %r = call i32 @add(i32 10)
          ret i32 %r }
        define i32 @three() { %v = load i32, ptr @0
          %r = call i32 @add(i32 %v)
          ret i32 %r }
        define i32 @main() { %a = call i32 @one()
          %b = call i32 @three()
          %c = load i8, ptr @text
          %d = zext i8 %c to i32
          %e = load i32, ptr @0
          %f = add i32 %b, %d
          %g = add i32 %f, %e
          ret i32 %g }"#,
        16 + 104 + 5,
    );
}

#[test]
fn a_name_that_only_the_module_sees_has_an_address() {
    for linkage in ["internal", "hidden", "protected", "linkonce_odr hidden"] {
        gives(
            &format!(
                "@table = {linkage} constant [1 x ptr] [ptr @in_table]
                @number = {linkage} global i32 7
                define {linkage} i32 @in_table() {{ %v = load i32, ptr @number
                  ret i32 %v }}
                define {linkage} i32 @taken() {{ %v = call i32 @called()
                  ret i32 %v }}
                define {linkage} i32 @called() noinline {{ ret i32 30 }}
                define ptr @get() noinline {{ ret ptr @taken }}
                define i32 @main() {{ %p = call ptr @get()
                  %a = call i32 %p()
                  %q = load ptr, ptr @table
                  %b = call i32 %q()
                  %s = add i32 %a, %b
                  %same = icmp eq ptr %p, @taken
                  %c = select i1 %same, i32 100, i32 0
                  %r = add i32 %s, %c
                  ret i32 %r }}"
            ),
            137,
        );
    }
}

#[test]
fn functions_call_each_other_in_every_way() {
    // Mutual recursion, tail calls, and variable arguments.
    gives(
        "define i32 @even(i32 %n) { %z = icmp eq i32 %n, 0
          br i1 %z, label %yes, label %more
          yes: ret i32 1
          more: %m = sub i32 %n, 1
          %r = musttail call i32 @odd(i32 %m)
          ret i32 %r }
        define i32 @odd(i32 %n) { %z = icmp eq i32 %n, 0
          br i1 %z, label %no, label %more
          no: ret i32 0
          more: %m = sub i32 %n, 1
          %r = musttail call i32 @even(i32 %m)
          ret i32 %r }
        %list = type { i32, i32, ptr, ptr }
        declare void @llvm.va_start(ptr)
        declare void @llvm.va_end(ptr)
        define internal i32 @sum(i32 %n, ...) noinline { %l = alloca %list, align 8
          call void @llvm.va_start(ptr %l)
          br label %loop
          loop: %i = phi i32 [ %n, %0 ], [ %j, %loop ]
          %s = phi i32 [ 0, %0 ], [ %t, %loop ]
          %v = va_arg ptr %l, i32
          %t = add i32 %s, %v
          %j = sub i32 %i, 1
          %z = icmp eq i32 %j, 0
          br i1 %z, label %end, label %loop
          end: call void @llvm.va_end(ptr %l)
          ret i32 %t }
        define i32 @main() { %a = call i32 @even(i32 1000000)
          %b = call i32 (i32, ...) @sum(i32 3, i32 10, i32 20, i32 30)
          %r = add i32 %a, %b
          ret i32 %r }",
        61,
    );
}

#[test]
fn what_has_to_be_inlined_is() {
    // One needs another, and a function that only it uses. With names of one length they are one part, and `first` is another.
    gives(
        "@seen = internal global i32 3
        define internal i32 @help() noinline { ret i32 40 }
        define i32 @away(i32 %x) alwaysinline { %a = call i32 @deep(i32 %x)
          %h = call i32 @help()
          %r = add i32 %a, %h
          ret i32 %r }
        define internal i32 @deep(i32 %x) alwaysinline { %v = load i32, ptr @seen
          %r = mul i32 %x, %v
          ret i32 %r }
        define i32 @first() { %r = call i32 @away(i32 5)
          ret i32 %r }
        define i32 @main() { %a = call i32 @first()
          %b = call i32 @away(i32 2)
          %r = add i32 %a, %b
          ret i32 %r }",
        55 + 46,
    );
    // Whoever has the frame's address is inlined, or else the frames differ.
    each_way(
        "declare ptr @llvm.frameaddress.p0(i32)
        define ptr @frame() alwaysinline { %f = call ptr @llvm.frameaddress.p0(i32 0)
          ret ptr %f }
        define i32 @main() { %a = call ptr @llvm.frameaddress.p0(i32 0)
          %b = call ptr @frame()
          %same = icmp eq ptr %a, %b
          %r = zext i1 %same to i32
          ret i32 %r }",
        |session| assert_eq!(run(session, "main"), 1),
    );
}

#[test]
fn thread_local_variables_of_any_model() {
    for model in ["", "(localdynamic)", "(initialexec)", "(localexec)"] {
        let ir = format!(
            "@mine = internal thread_local{model} global i32 5
            @yours = thread_local{model} global i32 6
            declare ptr @llvm.threadlocal.address.p0(ptr)
            define i32 @next() {{ %p = call ptr @llvm.threadlocal.address.p0(ptr @mine)
              %v = load i32, ptr %p
              %w = add i32 %v, 1
              store i32 %w, ptr %p
              ret i32 %w }}
            define i32 @main() {{ %a = call i32 @next()
              %b = load i32, ptr @mine
              %c = load i32, ptr @yours
              %s = add i32 %a, %b
              %r = add i32 %s, %c
              ret i32 %r }}"
        );
        each_way(&ir, |session| {
            assert_eq!(run(session, "main"), 6 + 6 + 6, "{model}");
            std::thread::scope(|scope| {
                let other = scope.spawn(|| run(session, "main"));
                assert_eq!(other.join().unwrap(), 6 + 6 + 6, "{model}");
            });
            assert_eq!(run(session, "main"), 7 + 7 + 6, "{model}");
        });
    }
}

#[test]
fn other_names_for_functions_and_variables() {
    gives(
        "@v = internal global i32 4
        @alias_v = alias i32, ptr @v
        @other = alias i32 (), ptr @f
        @inner = internal alias i32 (), ptr @local
        @chosen = ifunc i32 (), ptr @choose
        define i32 @f() { ret i32 1 }
        define internal i32 @local() { ret i32 20 }
        define internal ptr @choose() { ret ptr @impl }
        define internal i32 @impl() { ret i32 300 }
        define ptr @get() noinline { ret ptr @other }
        define i32 @main() { %a = call i32 @other()
          %b = call i32 @inner()
          %c = call i32 @chosen()
          %d = load i32, ptr @alias_v
          %p = call ptr @get()
          %same = icmp eq ptr %p, @other
          %e = select i1 %same, i32 5000, i32 0
          %s = add i32 %a, %b
          %t = add i32 %s, %c
          %u = add i32 %t, %d
          %w = add i32 %u, %e
          ret i32 %w }",
        5325,
    );
    // The address of an alias is the same in the part that has it.
    each_way(
        "@other = alias i32 (), ptr @f
        define i32 @f() { %same = icmp eq ptr @other, null
          %p = call ptr @pass(ptr @other)
          %q = call ptr @get()
          %eq = icmp eq ptr %p, %q
          %r = zext i1 %eq to i32
          ret i32 %r }
        define ptr @pass(ptr %p) noinline { ret ptr %p }
        define ptr @get() noinline { ret ptr @other }
        define i32 @main() { %r = call i32 @f()
          ret i32 %r }",
        |session| assert_eq!(run(session, "main"), 1),
    );
}

#[test]
fn groups_of_sections() {
    gives(
        "$group = comdat any
        $local = comdat any
        @data = linkonce_odr global i32 7, comdat($group)
        @local = internal global i32 100, comdat
        define linkonce_odr i32 @group() comdat { %v = load i32, ptr @data
          %w = add i32 %v, 1
          store i32 %w, ptr @data
          ret i32 %w }
        define weak i32 @weak() noinline { %v = load i32, ptr @local
          ret i32 %v }
        define i32 @main() { %a = call i32 @group()
          %b = call i32 @group()
          %c = call i32 @weak()
          %s = add i32 %a, %b
          %r = add i32 %s, %c
          ret i32 %r }",
        8 + 9 + 100,
    );
}

#[test]
fn labels_in_a_table() {
    for kind in ["constant", "global"] {
        gives(
            &format!(
                "@table = internal {kind} [2 x ptr] [ptr blockaddress(@go, %a), ptr blockaddress(@go, %b)]
                define i32 @go(i32 %n) {{ %p = getelementptr [2 x ptr], ptr @table, i32 0, i32 %n
                  %to = load ptr, ptr %p
                  indirectbr ptr %to, [label %a, label %b]
                  a: ret i32 10
                  b: ret i32 200 }}
                define i32 @main() {{ %a = call i32 @go(i32 0)
                  %b = call i32 @go(i32 1)
                  %r = add i32 %a, %b
                  ret i32 %r }}"
            ),
            210,
        );
    }
}

#[test]
fn distances_between_functions_and_variables() {
    gives(
        "@table = constant [2 x i32] [
            i32 trunc (i64 sub (i64 ptrtoint (ptr @f to i64), i64 ptrtoint (ptr @table to i64)) to i32),
            i32 trunc (i64 sub (i64 ptrtoint (ptr dso_local_equivalent @g to i64), i64 ptrtoint (ptr @table to i64)) to i32)]
        declare ptr @llvm.load.relative.i32(ptr, i32)
        define i32 @f() { ret i32 1 }
        define i32 @g() { ret i32 20 }
        define i32 @main() { %f = call ptr @llvm.load.relative.i32(ptr @table, i32 0)
          %a = call i32 %f()
          %d = load i32, ptr getelementptr ([2 x i32], ptr @table, i32 0, i32 1)
          %e = sext i32 %d to i64
          %g = getelementptr i8, ptr @table, i64 %e
          %b = call i32 %g()
          %r = add i32 %a, %b
          ret i32 %r }",
        21,
    );
}

#[test]
fn all_that_is_in_a_section() {
    gives(
        r#"@a = internal global i32 1, section "numbers"
        @b = internal global i32 20, section "numbers"
        @__start_numbers = external global i32
        @__stop_numbers = external global i32
        @llvm.compiler.used = appending global [2 x ptr] [ptr @a, ptr @b], section "llvm.metadata"
        define i32 @main() { br label %loop
          loop: %p = phi ptr [ @__start_numbers, %0 ], [ %q, %loop ]
          %s = phi i32 [ 0, %0 ], [ %t, %loop ]
          %v = load i32, ptr %p
          %t = add i32 %s, %v
          %q = getelementptr i32, ptr %p, i32 1
          %z = icmp eq ptr %q, @__stop_numbers
          br i1 %z, label %end, label %loop
          end: ret i32 %t }"#,
        21,
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn assembly_inside_functions() {
    // A symbol as an operand, and one by its name, which is why it is retained.
    gives(
        r#"@v = global i32 5
        @llvm.compiler.used = appending global [1 x ptr] [ptr @named], section "llvm.metadata"
        define internal i32 @named() { ret i32 1 }
        define i32 @operand() { ret i32 20 }
        define i32 @main() { %a = call i32 asm "call named", "={ax},~{cx},~{dx},~{si},~{di},~{r8},~{r9},~{r10},~{r11},~{memory}"()
          %b = call i32 asm "call ${1:P}", "={ax},i,~{cx},~{dx},~{si},~{di},~{r8},~{r9},~{r10},~{r11},~{memory}"(ptr @operand)
          %c = call i32 asm "movl ($1), $0", "=r,r"(ptr @v)
          %d = call i32 asm "movl $1, $0", "=r,*m"(ptr elementtype(i32) @v)
          %s = add i32 %a, %b
          %t = add i32 %s, %c
          %r = add i32 %t, %d
          ret i32 %r }"#,
        31,
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn assembly_of_the_module() {
    gives(
        r#"module asm ".globl in_assembly, more"
        module asm ".type in_assembly,@function"
        module asm "in_assembly: mov $5, %eax"
        module asm "ret"
        module asm ".type more,@function"
        module asm "more: call helper"
        module asm "ret"
        @llvm.compiler.used = appending global [1 x ptr] [ptr @helper], section "llvm.metadata"
        declare i32 @in_assembly()
        declare i32 @more()
        define internal i32 @helper() { ret i32 30 }
        define i32 @main() { %a = call i32 @in_assembly()
          %b = call i32 @more()
          %r = add i32 %a, %b
          ret i32 %r }"#,
        35,
    );
}

#[test]
fn what_others_have_too_is_taken_along() {
    let other = "define i32 @there(i32 %x) { %r = mul i32 %x, 10
          ret i32 %r }";
    each_way(
        "@only = internal global i32 3
        define available_externally i32 @there(i32 %x) { %v = load i32, ptr @only
          %r = mul i32 %x, 10
          ret i32 %r }
        define i32 @main() { %r = call i32 @there(i32 2)
          ret i32 %r }",
        |session| {
            session
                .add("other.ll", other.as_bytes(), When::Eager)
                .unwrap();
            assert_eq!(run(session, "main"), 20);
        },
    );
}

#[test]
fn modules_without_functions_and_without_anything() {
    each_way("@v = global i32 5", |session| {
        let address = session.main().address("v").unwrap();
        // SAFETY: it is the variable.
        assert_eq!(unsafe { *address.cast::<i32>() }, 5);
    });
    each_way("declare void @f()", |session| {
        assert!(session.main().address("f").is_err());
    });
}

#[test]
fn variables_are_the_same_in_both_tiers() {
    let step = "define i32 @main() { %v = load i32, ptr @n
          %w = add i32 %v, 1
          store i32 %w, ptr @n
          ret i32 %w }";
    let constructed = r#"@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @start, ptr null }]
        @started = global i32 0
        define void @start() { %v = load i32, ptr @started
          %w = add i32 %v, 1
          store i32 %w, ptr @started
          ret void }"#;
    for module in [
        format!("@n = internal global i32 0\n{step}"),
        // In a group with the function, in the module's assembly, with a label of the function.
        format!("$main = comdat any\n@n = internal global i32 0, comdat($main)\n{step}")
            .replace("@main()", "@main() comdat"),
        format!("module asm \"\"\n@n = internal global i32 0\n{step}"),
        format!("@n = internal global i32 0, !associated !0\n{step}\n!0 = !{{ptr @main}}"),
        format!("@n = internal global i32 0\n{step}\n{constructed}"),
        "@n = internal global {i32, ptr} {i32 0, ptr blockaddress(@main, %at)}
        define i32 @main() { %to = load ptr, ptr getelementptr ({i32, ptr}, ptr @n, i32 0, i32 1)
          indirectbr ptr %to, [label %at]
          at: %v = load i32, ptr @n
          %w = add i32 %v, 1
          store i32 %w, ptr @n
          ret i32 %w }"
            .to_owned(),
    ] {
        println!("{module}");
        tiers(&format!("{module}\n{IS_LAST}"), 1);
    }
}

#[test]
fn addresses_are_the_same_in_both_tiers() {
    let module = "@kept = internal global ptr null
        define internal i32 @callback() { ret i32 1 }
        define i32 @main() { %old = load ptr, ptr @kept
          store ptr @callback, ptr @kept
          %first = icmp eq ptr %old, null
          %same = icmp eq ptr %old, @callback
          %fine = or i1 %first, %same
          %r = zext i1 %fine to i32
          ret i32 %r }";
    let session = session();
    let options = Options::new(When::OnFirstCall)
        .partition(Partition::Whole)
        .tier_up();
    let ir = format!("{module}\n{IS_LAST}");
    session.add("m.ll", ir.as_bytes(), options).unwrap();
    assert_eq!(run(&session, "main"), 1);
    let start = Instant::now();
    while run(&session, "is_last") == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "it stays");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(run(&session, "main"), 1);
}
