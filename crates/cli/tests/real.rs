//! Real programs through `farcall` show what their natively linked selves show.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Executor, Folder, Outcome, farcall, run, run_with};
use farcall_testkit::{Level, Program, paths, real, require_tools};

const SCRIPT: &str = "testdata/programs/script.lua";

/// What the natively linked program shows.
fn native(program: &Program, args: &[&str], stdin: &[u8]) -> Outcome {
    let mut command = Command::new(program.executable(Level::O2).unwrap());
    run_with(
        command.args(args).current_dir(paths::workspace_root()),
        stdin,
    )
}

/// What `farcall run` of these inputs shows.
fn through_farcall(inputs: &[&Path], args: &[&str], stdin: &[u8]) -> Outcome {
    let mut command = farcall(["run"]);
    command.args(inputs).arg("--").args(args);
    run_with(command.current_dir(paths::workspace_root()), stdin)
}

fn build(image: &Path, inputs: &[PathBuf]) {
    let mut args: Vec<OsString> = vec!["build".into(), "-o".into(), image.into()];
    args.extend(inputs.iter().map(OsString::from));
    assert_eq!(run(&mut farcall(args)).printed(), "");
}

#[test]
fn lua_runs_a_script() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let program = real::lua().unwrap();
    let image = folder.file("lua");
    build(&image, &program.bitcode(Level::O2).unwrap());

    let expected = native(&program, &[SCRIPT, "one", "two"], b"");
    assert_eq!((expected.end, expected.stdout.is_empty()), (7, false));
    assert_eq!(
        through_farcall(&[&image], &[SCRIPT, "one", "two"], b""),
        expected
    );

    let script = std::fs::read(paths::workspace_root().join(SCRIPT)).unwrap();
    for args in [&["/dev/stdin", "x"][..], &["no-such.lua"], &[]] {
        let expected = native(&program, args, &script);
        assert_eq!(through_farcall(&[&image], args, &script), expected);
    }
    let lines = "for line in io.lines() do print(#line, line:upper()) end error('end')";
    let lines = folder.write("lines.lua", lines);
    let args = [lines.to_str().unwrap()];
    let input = b"first\nand\n\nlast without a newline";
    let expected = native(&program, &args, input);
    assert!(expected.stdout.contains("5\tFIRST\n"), "{expected:?}");
    assert_eq!(through_farcall(&[&image], &args, input), expected);
}

#[test]
fn lua_s_library_and_interpreter_are_two_images() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let program = real::lua().unwrap();
    let bitcode = program.bitcode(Level::O1).unwrap();
    let (interpreter, library) = bitcode.split_last().unwrap();
    let [main_image, library_image] = ["main", "library"].map(|name| folder.file(name));
    build(&main_image, std::slice::from_ref(interpreter));
    build(&library_image, library);

    let expected = native(&program, &[SCRIPT], b"");
    for inputs in [
        [&*main_image, &*library_image],
        [&*library_image, &*main_image],
    ] {
        assert_eq!(through_farcall(&inputs, &[SCRIPT], b""), expected);
    }
    // One of them may still have to be built.
    assert_eq!(
        through_farcall(&[interpreter, &library_image], &[SCRIPT], b""),
        expected
    );
}

#[test]
fn sqlite_answers() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let program = real::sqlite_main().unwrap();
    let bitcode = program.bitcode(Level::O2).unwrap();
    // The library takes long to compile, so it is compiled once and used in both ways.
    let library = folder.file("sqlite");
    build(&library, &bitcode[..1]);
    let main = folder.file("main");
    build(&main, &bitcode[1..]);

    for rows in ["5000", "0"] {
        let expected = native(&program, &[rows], b"");
        assert_eq!(expected.end, 0);
        assert!(expected.stdout.starts_with(rows), "{expected:?}");
        assert_eq!(through_farcall(&[&main, &library], &[rows], b""), expected);
    }
    let objects = program.objects(Level::O2).unwrap();
    let whole = folder.file("whole");
    build(&whole, &objects);
    assert_eq!(
        through_farcall(&[&whole], &["5000"], b""),
        native(&program, &["5000"], b"")
    );
}

#[test]
fn sqlite_is_shipped_once() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let program = real::sqlite_main().unwrap();
    // The library as machine code, what is called as IR: its types are known.
    let library = program.objects(Level::O2).unwrap().swap_remove(0);
    let workload = program.bitcode(Level::O2).unwrap().swap_remove(1);
    let image = folder.file("sqlite");
    build(&image, &[library, workload]);
    let size = image.metadata().unwrap().len();

    let native = native(&program, &["1000"], b"").printed();
    let (report, checksum) = native.trim_end().split_once("\nchecksum ").unwrap();
    let executor = Executor::in_folder(&folder);
    let call = |function: &[&str]| {
        let mut command = farcall(["call", "--timings", "--on", &executor.address]);
        let outcome = run(command.arg(&image).args(function));
        (outcome.shipped(), outcome.stdout)
    };
    let (sent, answer) = call(&["run_workload", "1000"]);
    assert_eq!(answer.trim_end(), checksum);
    assert!(sent > size, "{sent} bytes sent of {size}");
    let (sent, answer) = call(&["workload_report", "1000", "out:4096", "4096"]);
    let (length, text) = answer.trim_end().split_once('\n').unwrap();
    assert_eq!(text, report);
    assert_eq!(length.parse::<usize>().unwrap(), report.len() + 1);
    assert!(sent < 200, "{sent} bytes sent again");
}

#[test]
fn zlib_gives_back_what_it_took() {
    require_tools!("clang-22");
    let program = real::zlib().unwrap();
    let expected = native(&program, &[], b"");
    assert_eq!(expected.end, 0);
    let bitcode = program.bitcode(Level::O2).unwrap();
    let inputs: Vec<&Path> = bitcode.iter().map(PathBuf::as_path).collect();
    assert_eq!(through_farcall(&inputs, &[], b""), expected);

    let folder = Folder::new();
    let image = folder.file("zlib");
    build(&image, &program.objects(Level::O3).unwrap());
    assert_eq!(through_farcall(&[&image], &[], b""), expected);
}

#[test]
fn the_inventory_ends_in_all_ways() {
    require_tools!("clang-22", "clang++-22");
    let folder = Folder::new();
    let program = real::inventory();
    const SIGABRT: i32 = 6;
    let endings: [(&[&str], i32); 4] = [
        (&[], 3),
        (&["exit"], 4),
        (&["quick_exit"], 5),
        (&["uncaught"], -SIGABRT),
    ];
    for level in [Level::O0, Level::O2] {
        let bitcode = program.bitcode(level).unwrap();
        let whole = folder.file("whole");
        build(&whole, &bitcode);
        let parts = ["library", "main"].map(|name| folder.file(name));
        for (part, bitcode) in parts.iter().zip(&bitcode) {
            build(part, std::slice::from_ref(bitcode));
        }
        for (args, end) in endings {
            let expected = native(&program, args, b"");
            assert_eq!(expected.end, end, "{expected:?}");
            let whole = through_farcall(&[&whole], args, b"");
            assert_eq!(whole, expected, "{level} {args:?}");
            let parts = through_farcall(&[&parts[0], &parts[1]], args, b"");
            assert_eq!(
                without_journal(parts),
                without_journal(expected),
                "{level} {args:?}, two images"
            );
        }
    }
}

/// What is left without the lines of the program's `journal`: an image binds to its own definitions
/// first, so an inline variable exists once in every image, and the library has a journal of its
/// own.
fn without_journal(mut outcome: Outcome) -> Outcome {
    outcome.stdout = (outcome.stdout.split_inclusive('\n'))
        .filter(|line| !line.starts_with("- "))
        .collect();
    outcome
}
