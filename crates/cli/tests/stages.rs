//! `--timings`, `-v` and progress: what is said about the work goes to standard error, and only
//! when someone wants it.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::process::Command;

use common::{Folder, farcall, farcall_in, run};
use farcall_testkit::require_tools;

const HELLO: &str = "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }";

#[test]
fn timings_name_each_stage() {
    require_tools!("clang-22");
    let folder = Folder::new();
    folder.compile("hello.bc", HELLO, &[]);
    let build = farcall_in(&folder, &["build", "--timings", "hello.bc", "-o", "hello"]);
    assert_eq!((build.end, build.stdout.as_str()), (0, ""));
    let stages: Vec<&str> = (build.stderr.lines())
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(stages, ["read", "compile", "link", "write"]);
    assert!(build.stderr.lines().all(|line| line.contains(" ms")));
    let size = folder.file("hello").metadata().unwrap().len();
    let link = build.stderr.lines().nth(2).unwrap();
    assert!(link.ends_with(&format!(" {size} bytes")), "{link}");

    let run = farcall_in(&folder, &["run", "hello", "--timings"]);
    assert_eq!((run.end, run.stdout.as_str()), (0, "hello\n"));
    assert!(run.stderr.starts_with("read "), "{}", run.stderr);
    // Those of a command that fails are printed too.
    let refused = farcall_in(&folder, &["call", "hello", "main", "x", "--timings"]);
    assert!(
        refused.stderr.contains("farcall: hello: main is i32 ()"),
        "{refused:?}"
    );
}

#[test]
fn a_log_is_for_those_who_ask() {
    require_tools!("clang-22");
    let folder = Folder::new();
    folder.compile("hello.bc", HELLO, &[]);
    let silent = farcall_in(&folder, &["run", "hello.bc"]);
    assert_eq!(silent.printed(), "hello\n");
    let said = farcall_in(&folder, &["run", "-v", "hello.bc"]);
    assert_eq!((said.end, said.stdout.as_str()), (0, "hello\n"));
    for part in ["INFO", "compiling", "linked", "running"] {
        assert!(
            said.stderr.contains(part),
            "no {part:?} in: {}",
            said.stderr
        );
    }
    assert!(
        !said.stderr.contains('\x1b'),
        "colours are for terminals: {}",
        said.stderr
    );
    let more = farcall_in(&folder, &["run", "-vvv", "hello.bc"]);
    assert!(more.stderr.len() > said.stderr.len(), "{}", more.stderr);
}

#[test]
fn help_says_what_can_be_done() {
    let help = run(&mut farcall(["--help"])).printed();
    for command in ["build", "run", "call", "inspect", "executor"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        run(&mut farcall([command, "--help"])).printed();
    }
    let call = run(&mut farcall(["call", "--help"])).printed();
    for form in [
        "str:TEXT",
        "hex:",
        "@FILE",
        "out:SIZE",
        "null",
        "--on",
        "--signature",
    ] {
        assert!(call.contains(form), "no {form} in: {call}");
    }
    let version = run(&mut farcall(["--version"])).printed();
    assert_eq!(
        version,
        concat!("farcall ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let nothing = run(&mut farcall::<&str>([]));
    assert_eq!((nothing.end, nothing.stdout.as_str()), (2, ""));
    assert!(
        nothing.stderr.contains("Usage: farcall"),
        "{}",
        nothing.stderr
    );
}

#[test]
fn debug_information_is_kept_split_or_dropped() {
    require_tools!("clang-22", "gdb");
    let folder = Folder::new();
    folder.compile("hello.bc", HELLO, &["-g"]);
    let build = |how: &[&str], image: &str| {
        let built = farcall_in(
            &folder,
            &[&["build", "hello.bc", "-o", image], how].concat(),
        );
        assert_eq!(built.printed(), "");
        std::fs::read(folder.file(image)).unwrap()
    };
    let dropped = build(&[], "dropped");
    assert_eq!(dropped, build(&["--debug=drop"], "dropped-too"));
    assert_eq!(dropped, build(&["--debug=split"], "split"));
    assert!(!folder.file("dropped.debug").exists());
    build(&["--debug=keep"], "kept");
    assert_eq!(farcall_in(&folder, &["run", "kept"]).printed(), "hello\n");
    for file in ["kept", "split.debug"] {
        let mut gdb = Command::new(farcall_testkit::tools::find("gdb").unwrap());
        gdb.args(["-nx", "-q", "-batch", "-ex", "info line main"])
            .arg(folder.file(file));
        let said = String::from_utf8(gdb.output().unwrap().stdout).unwrap();
        assert!(said.contains("Line 2 of"), "{file}: {said}");
    }
}
