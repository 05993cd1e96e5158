//! Real programs, compiled in each way: what they print is what they print natively.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "running a program is")]

use std::ffi::{CString, c_char, c_int};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use farcall_compiler::{Compiler, OptLevel};
use farcall_loader::Loader;
use farcall_session::{Options, Partition, Session, When};
use farcall_testkit::paths::program_source;
use farcall_testkit::{Level, Program, real, require_tools};

const TOGETHER: &[&str] = &["together", "together-lookup"];
const ALL: &[&str] = &[
    "together",
    "lookup",
    "first",
    "first-some",
    "first-whole",
    "tiers",
];

/// Runs a program in a session, if the environment says which: in a process of its own, because it ends it.
#[test]
#[ignore = "other tests start it"]
fn child() {
    let way = std::env::var("WAY").unwrap();
    let files = std::env::var("FILES").unwrap();
    let arguments = std::env::var("ARGUMENTS").unwrap();
    let mut loader = Loader::new();
    loader.library("libm.so.6").library("libstdc++.so.6");
    let compiler = Compiler::builder().opt_level(OptLevel::O1);
    let builder = Session::builder().compiler(compiler).loader(loader);
    // SAFETY: the tests run their own programs.
    let session = unsafe { builder.build() };
    let files: Vec<_> = files
        .split(':')
        .map(|file| (file, std::fs::read(file).unwrap()))
        .collect();
    let by_letter = |name: &str| u64::from(name.bytes().last().unwrap_or(0)) % 7;
    let options = match &*way {
        "lookup" => Options::new(When::OnLookup),
        "first" => Options::new(When::OnFirstCall),
        "first-some" => {
            Options::new(When::OnFirstCall).partition(Partition::By(Arc::new(by_letter)))
        }
        "first-whole" => Options::new(When::OnFirstCall).partition(Partition::Whole),
        "tiers" => Options::new(When::OnFirstCall).tier_up(),
        "together" => Options::new(When::Eager),
        "together-lookup" => Options::new(When::OnLookup),
        other => unreachable!("{other}"),
    };
    if way.starts_with("together") {
        let files: Vec<_> = files.iter().map(|(name, ir)| (*name, &**ir)).collect();
        session.add_all(&files, options).unwrap();
    } else {
        for (name, ir) in &files {
            session.add(name, ir, options.clone()).unwrap();
        }
    }
    let arguments = arguments.split(' ').filter(|it| !it.is_empty());
    let arguments: Vec<_> = std::iter::once("program")
        .chain(arguments)
        .map(|it| CString::new(it).unwrap())
        .collect();
    let mut pointers: Vec<_> = arguments.iter().map(|it| it.as_ptr()).collect();
    pointers.push(std::ptr::null());
    type Main = unsafe extern "C-unwind" fn(c_int, *const *const c_char) -> c_int;
    let main = session.main().address("main").unwrap();
    // SAFETY: C knows it by two types, of which the other takes no arguments.
    let main = unsafe { std::mem::transmute::<*mut std::ffi::c_void, Main>(main) };
    let count = c_int::try_from(arguments.len()).unwrap();
    // SAFETY: these are the arguments of a `main`, which is called once.
    let result = unsafe { main(count, pointers.as_ptr()) };
    drop(session);
    std::process::exit(result);
}

/// What the program prints in each way, and what it prints natively.
fn compare(program: &Program, bitcode: &[PathBuf], arguments: &str, ways: &[&str]) {
    // At a level at which other tests want it too, so that it is compiled once.
    let native = program.executable(Level::O2).unwrap();
    let native = Command::new(native)
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let files: Vec<_> = bitcode.iter().map(|file| file.to_str().unwrap()).collect();
    for way in ways {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture", "--quiet"])
            .envs([
                ("WAY", *way),
                ("ARGUMENTS", arguments),
                ("FILES", &files.join(":")),
            ])
            .output()
            .unwrap();
        let Output { status, stderr, .. } = &output;
        assert_eq!(
            status.code(),
            native.status.code(),
            "{way}: {}",
            String::from_utf8_lossy(stderr)
        );
        // Each unit, and each part of one, has exit handlers of its own.
        let is_in_parts =
            way.starts_with("first") || *way == "tiers" || *way == "lookup" && files.len() > 1;
        let lines = |output| {
            let mut lines = printed(output);
            if is_in_parts {
                lines.sort_unstable();
            }
            lines
        };
        assert_eq!(lines(&output), lines(&native), "{way}");
    }
}

/// What a program has printed, without what the test harness has.
fn printed(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && *line != "running 1 test");
    lines.map(str::to_owned).collect()
}

#[test]
fn lua_prints_what_it_prints_natively() {
    require_tools!("clang-22");
    let program = real::lua().unwrap();
    let script = program_source("script.lua");
    let bitcode = program.bitcode(Level::O1).unwrap();
    // Its files have hidden names.
    let ways = [TOGETHER, &["lookup", "first-some"]].concat();
    compare(&program, &bitcode, script.to_str().unwrap(), &ways);
}

#[test]
fn zlib_prints_what_it_prints_natively() {
    require_tools!("clang-22");
    let program = real::zlib().unwrap();
    compare(&program, &program.bitcode(Level::O0).unwrap(), "", ALL);
}

#[test]
fn sqlite_prints_what_it_prints_natively() {
    require_tools!("clang-22");
    let program = real::sqlite_main().unwrap();
    let ways = ["together-lookup", "first-some"];
    compare(&program, &program.bitcode(Level::O0).unwrap(), "300", &ways);
}

#[test]
fn cxx_is_one_program_whether_it_is_added_together_or_apart() {
    require_tools!("clang-22", "clang++-22");
    let program = real::inventory();
    compare(&program, &program.bitcode(Level::O1).unwrap(), "", ALL);
}

#[test]
fn cxx_throws_through_parts() {
    require_tools!("clang-22", "clang++-22");
    let folder = tempfile::tempdir().unwrap();
    // In one unit parts see each other's local names.
    let source = folder.path().join("whole.cpp");
    let [library, main] = ["inventory.cpp", "inventory_main.cpp"].map(program_source);
    // Both have a type of that name.
    let text = format!(
        "#include {library:?}\n#define Registered Other\n#define registered other\n#include {main:?}\n"
    );
    std::fs::write(&source, text).unwrap();
    for (flag, level) in [("-g0", Level::O1), ("-g", Level::O0)] {
        let program = Program::new("inventory-whole")
            .flag("-std=c++17")
            .flag(flag);
        let program = program.source(&source);
        compare(&program, &program.bitcode(level).unwrap(), "", ALL);
    }
}
