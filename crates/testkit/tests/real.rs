//! The real programs compile, and what they print natively is what it should be.

use std::process::{Command, Output};

use farcall_testkit::{Level, Program, paths, real, require_tools};

fn run(program: &Program, args: &[&str]) -> Output {
    let executable = program.executable(Level::O2).expect("the program links");
    Command::new(executable)
        .args(args)
        .current_dir(paths::workspace_root())
        .output()
        .expect("the executable starts")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("the output is text")
}

#[test]
fn sqlite_answers_the_same_each_time() {
    require_tools!("clang-22");
    let program = real::sqlite_main().unwrap();
    let [sqlite, workload, main] = &program.bitcode(Level::O2).unwrap()[..] else {
        panic!("three sources")
    };
    assert_eq!(
        *sqlite,
        real::sqlite().unwrap().bitcode(Level::O2).unwrap()[0],
        "compiled once for both"
    );
    assert_eq!(
        *workload,
        real::sqlite_workload().unwrap().bitcode(Level::O2).unwrap()[0]
    );
    assert!(main.exists());

    let output = run(&program, &["1000"]);
    assert!(output.status.success(), "{output:?}");
    let report = text(&output.stdout);
    assert!(report.starts_with("1000|"), "{report}");
    assert!(
        report.lines().last().unwrap().starts_with("checksum "),
        "{report}"
    );
    assert_eq!(output.stdout, run(&program, &["1000"]).stdout);
    assert!(text(&run(&program, &["0"]).stdout).starts_with("0|null|null\n"));
}

#[test]
fn lua_runs_the_script() {
    require_tools!("clang-22");
    let program = real::lua().unwrap();
    assert_eq!(
        program.bitcode(Level::O2).unwrap().len(),
        33,
        "32 files of the library and the interpreter"
    );

    let script = "testdata/programs/script.lua";
    let output = run(&program, &[script, "one", "two"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(text(&output.stderr), "a line on the standard error\n");
    let printed = text(&output.stdout);
    assert!(printed.contains("\n2\tone two\t2\tone\ttwo\n"), "{printed}");
    assert!(printed.ends_with("collected at the end\n"), "{printed}");
    assert_eq!(output.stdout, run(&program, &[script, "one", "two"]).stdout);

    let output = run(&program, &["no-such-script.lua"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("lua: cannot open no-such-script.lua"),
        "{output:?}"
    );
}

#[test]
fn zlib_gives_back_what_it_took() {
    require_tools!("clang-22");
    let output = run(&real::zlib().unwrap(), &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        text(&output.stdout).ends_with("garbage: data error\n"),
        "{output:?}"
    );
}

#[test]
fn the_inventory_ends_as_it_is_told() {
    require_tools!("clang-22");
    let program = real::inventory();
    let native = run(&program, &[]);
    assert_eq!(native.status.code(), Some(3), "{native:?}");
    let printed = text(&native.stdout);
    assert!(
        printed.contains("order failed because out of stock: bolt\n"),
        "{printed}"
    );
    assert!(
        printed.contains("- inventory_main.cpp constructed\n"),
        "{printed}"
    );
    assert!(printed.ends_with("destructor function\n"), "{printed}");

    for level in Level::ALL {
        let output = Command::new(program.executable(level).unwrap())
            .output()
            .unwrap();
        assert_eq!(text(&output.stdout), printed, "{level} prints what O2 does");
    }
    assert_eq!(run(&program, &["exit"]).status.code(), Some(4));
    assert_eq!(run(&program, &["quick_exit"]).status.code(), Some(5));
    assert!(text(&run(&program, &["uncaught"]).stderr).contains("OutOfStock"));
}
