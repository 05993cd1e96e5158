//! Threads and code generators are kept between modules: nothing may be noticed of the modules before.

mod tools;

use std::{path::PathBuf, process::Command};

use farcall_compiler::{Compiler, Error, OptLevel};
use object::{Object as _, ObjectSection as _};

/// Fixtures, and small modules that LLVM has nothing to remember of.
fn inputs() -> Vec<(String, Vec<u8>)> {
    let read = |path: PathBuf| {
        let ir = std::fs::read(&path).expect("a fixture");
        (path.display().to_string(), ir)
    };
    let mut inputs: Vec<_> = tools::fixtures("ir").into_iter().map(read).collect();
    if let Some(mut clang) = tools::tool("clang-22") {
        clang.args([
            "-O1",
            "-Xclang",
            "-disable-llvm-passes",
            "-S",
            "-emit-llvm",
            "-o-",
        ]);
        clang.arg(tools::fixture("programs/state.cpp"));
        inputs.push(("state.ll".to_owned(), tools::run(&mut clang).into_bytes()));
        inputs.push((
            "debug.ll".to_owned(),
            tools::run(clang.arg("-g")).into_bytes(),
        ));
    }
    for n in 0..20 {
        let ir = format!(
            "@v{n} = internal global i32 {n}
            define i32 @f{n}(i32 %x) {{ %y = load i32, ptr @v{n} %z = mul i32 %x, %y ret i32 %z }}"
        );
        inputs.push((format!("small{n}.ll"), ir.into_bytes()));
    }
    inputs
}

fn compilers() -> [Compiler; 2] {
    [OptLevel::O0, OptLevel::O2].map(|level| {
        Compiler::builder()
            .opt_level(level)
            .build()
            .expect("options")
    })
}

/// Prints a fixture's object of each compiler to the test that starts this one in a process of its own.
#[test]
#[ignore = "a part of `bytes_do_not_depend_on_the_modules_before`"]
fn compile_one() {
    let Ok(wanted) = std::env::var("FARCALL_TEST_INPUT") else {
        return;
    };
    let inputs = inputs();
    let (name, ir) = inputs.iter().find(|input| input.0 == wanted).unwrap();
    for compiler in compilers() {
        let bytes = compiler.compile_ir(name, ir).unwrap().bytes;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("\nobject {digits}");
    }
}

#[test]
fn bytes_do_not_depend_on_the_modules_before() {
    let inputs = inputs();
    let compilers = compilers();
    let compile = |compiler: &Compiler| -> Vec<Vec<u8>> {
        let objects = inputs
            .iter()
            .map(|(name, ir)| compiler.compile_ir(name, ir));
        objects.map(|object| object.unwrap().bytes).collect()
    };
    let first = compilers.each_ref().map(compile);
    for _ in 0..5 {
        // One level after the other, so that threads keep both.
        assert!(compilers.each_ref().map(compile) == first);
    }
    let reversed: Vec<(&str, &[u8])> = (inputs.iter().rev())
        .map(|(name, ir)| (name.as_str(), ir.as_slice()))
        .collect();
    for (compiler, first) in compilers.iter().zip(&first) {
        let together = compiler.compile_all(&reversed);
        let together = together
            .into_iter()
            .rev()
            .map(|object| object.unwrap().bytes);
        assert!(together.eq(first.iter().cloned()));
    }

    let this = std::env::current_exe().unwrap();
    for (index, (name, _)) in inputs
        .iter()
        .enumerate()
        .filter(|input| input.0 % 4 == 0 || !input.1.0.starts_with("small"))
    {
        let mut child = Command::new(&this);
        child.args(["--exact", "compile_one", "--ignored", "--nocapture"]);
        let output = tools::run(child.env("FARCALL_TEST_INPUT", name));
        let fresh: Vec<&str> = output
            .lines()
            .filter_map(|line| line.strip_prefix("object "))
            .collect();
        let expected = first.each_ref().map(|objects| {
            objects[index]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        });
        assert!(
            fresh == expected,
            "{name}: a fresh process makes other bytes"
        );
    }
}

#[test]
fn eight_threads_with_two_hundred_modules_each() {
    let compiler = Compiler::builder().opt_level(OptLevel::O1).build().unwrap();
    let ir = |n: usize| format!("define i32 @f(i32 %x) {{ %y = mul i32 %x, {n} ret i32 %y }}");
    let expected: Vec<_> = (0..25)
        .map(|n| compiler.compile_ir("m", ir(n).as_bytes()))
        .collect();
    assert!(expected[3] != expected[5]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (compiler, expected, ir) = (&compiler, &expected, &ir);
            scope.spawn(move || {
                for n in 0..200 {
                    let n = (n + thread) % 25;
                    assert!(compiler.compile_ir("m", ir(n).as_bytes()) == expected[n]);
                }
            });
        }
    });
}

#[test]
fn each_of_a_batch_has_its_own_error() {
    let compiler = Compiler::new().unwrap();
    assert!(compiler.compile_all(&[]).is_empty());
    let gives_up = std::fs::read(tools::fixture("errors/gc.ll")).unwrap();
    let fine = b"define void @f() { ret void }";
    let inputs: Vec<(&str, &[u8])> = (0..60)
        .map(|n| match n % 6 {
            1 => ("broken.ll", &b"define"[..]),
            3 => ("gives_up.ll", &gives_up[..]),
            _ => ("fine.ll", &fine[..]),
        })
        .collect();
    let results = compiler.compile_all(&inputs);
    assert_eq!(results.len(), inputs.len());
    let expected = compiler.compile_ir("fine.ll", fine);
    for (result, (name, _)) in results.iter().zip(&inputs) {
        match (*name, result) {
            ("broken.ll", Err(Error::Parse { input, .. })) => assert_eq!(input, name),
            ("gives_up.ll", Err(Error::GaveUp { input, .. })) => assert_eq!(input, name),
            ("fine.ll", result) => assert!(*result == expected),
            _ => panic!("{name}: {result:?}"),
        }
    }
}

/// The thread is lost, and another one takes its place.
#[test]
fn an_input_that_llvm_gives_up_at_leaves_the_next_alone() {
    let compiler = Compiler::new().unwrap();
    let gives_up = std::fs::read(tools::fixture("errors/intrinsic.ll")).unwrap();
    let fine = b"define void @f() { ret void }";
    let expected = compiler.compile_ir("fine.ll", fine).unwrap();
    for _ in 0..10 {
        let error = compiler.compile_ir("m", &gives_up).unwrap_err();
        assert!(matches!(error, Error::GaveUp { .. }), "{error}");
        assert!(compiler.compile_ir("fine.ll", fine).unwrap() == expected);
    }
}

/// Passes ask about such functions only where there are some.
#[test]
fn functions_that_want_no_optimization_have_none() {
    let compiler = Compiler::new().unwrap();
    let ir = |attributes: &str| {
        format!(
            "define i32 @f(i32 %x) {attributes} {{
               %a = add i32 %x, 1
               %b = add i32 %a, -1
               ret i32 %b
             }}"
        )
    };
    let size = |attributes: &str| {
        let object = compiler.compile_ir("m", ir(attributes).as_bytes()).unwrap();
        let file = object::File::parse(&*object.bytes).unwrap();
        let text = file.section_by_name(".text").unwrap();
        text.data().unwrap().len()
    };
    let optimized = size("noinline");
    assert!(size("noinline optnone") > optimized);
    assert_eq!(size("noinline"), optimized);
    assert!(size("noinline optnone") > optimized);
}
