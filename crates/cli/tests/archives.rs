//! Archives as compilers and `ar` make them: members of bitcode, of one name, and linked whole.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::process::Command;

use common::{Folder, farcall_in};
use farcall_testkit::{require_tools, tools};

const MAIN: &str = "int puts(const char *); int twice(int);
int main(void) { return twice(21) == 42 && !puts(\"42\") ? 1 : 0; }";
const TWICE: &str = "int twice(int x) { return x * 2; }";
const SPEAKS: &str = "int puts(const char *);
__attribute__((constructor)) static void speak(void) { puts(\"constructed\"); }";

/// An archive of the members, which are files of the folder.
fn archive(folder: &Folder, name: &str, members: &[&str]) {
    let mut ar = Command::new(tools::find("llvm-ar-22").unwrap());
    ar.arg("qc").arg(folder.file(name));
    ar.args(members.iter().map(|member| folder.file(member)));
    assert!(ar.status().unwrap().success());
}

#[test]
fn members_of_bitcode_are_compiled() {
    require_tools!("clang-22", "llvm-ar-22");
    let folder = Folder::new();
    folder.compile("main.bc", MAIN, &[]);
    folder.compile("twice.bc", TWICE, &[]);
    folder.compile("speaks.bc", SPEAKS, &[]);
    folder.compile(
        "object.o",
        "int unused(void) { return 1; }",
        &["-c", "-fPIC"],
    );
    archive(&folder, "lib.a", &["object.o", "twice.bc", "speaks.bc"]);
    let run = |arguments: &[&str]| farcall_in(&folder, arguments).printed();
    // On demand: nothing asks for the one that speaks.
    assert_eq!(run(&["run", "main.bc", "lib.a"]), "42\n");
    run(&[
        "build",
        "main.bc",
        "lib.a",
        "-o",
        "image",
        "--whole-archive",
        "lib.a",
    ]);
    assert_eq!(run(&["run", "image"]), "constructed\n42\n");
}

#[test]
fn a_whole_archive_has_all_members_of_one_name() {
    require_tools!("clang-22", "llvm-ar-22");
    let folder = Folder::new();
    folder.compile("main.bc", MAIN, &[]);
    for (subfolder, source) in [("a", TWICE), ("b", SPEAKS)] {
        std::fs::create_dir(folder.file(subfolder)).unwrap();
        folder.compile(&format!("{subfolder}/x.o"), source, &["-c", "-fPIC"]);
    }
    archive(&folder, "lib.a", &["a/x.o", "b/x.o"]);
    let run = |arguments: &[&str]| farcall_in(&folder, arguments).printed();
    assert_eq!(run(&["run", "main.bc", "lib.a"]), "42\n");
    run(&[
        "build",
        "main.bc",
        "lib.a",
        "-o",
        "image",
        "--whole-archive",
        "lib.a",
    ]);
    assert_eq!(run(&["run", "image"]), "constructed\n42\n");
}

#[test]
fn a_whole_archive_is_one_of_the_inputs() {
    require_tools!("clang-22");
    let folder = Folder::new();
    folder.compile("main.bc", MAIN, &[]);
    let built = farcall_in(
        &folder,
        &[
            "build",
            "main.bc",
            "-o",
            "image",
            "--whole-archive",
            "lib.a",
        ],
    );
    assert!(built.refused().contains("lib.a: not one of the inputs"));
}

/// Rust's standard library comes whole: it uses every TLS model, unwinds, and is thousands of sections.
const RUST: &str = r#"
use std::{cell::Cell, collections::HashMap, panic, thread};

thread_local! { static COUNT: Cell<u32> = const { Cell::new(1) }; }

#[unsafe(no_mangle)]
pub extern "C" fn from_rust(n: u32) -> u32 {
    COUNT.set(COUNT.get() + n);
    let squares: HashMap<u32, String> = (0..n).map(|x| (x, format!("{:04}", x * x))).collect();
    let other = thread::spawn(|| COUNT.get()).join().unwrap();
    panic::set_hook(Box::new(|_| {}));
    let caught = panic::catch_unwind(|| panic!("caught")).is_err();
    println!("{} {other} {caught} {}", COUNT.get(), squares[&(n - 1)]);
    0
}
"#;

#[test]
fn the_standard_library_of_rust_links() {
    require_tools!("clang-22", "rustc");
    let folder = Folder::new();
    let source = folder.write("rust.rs", RUST);
    for (level, expected) in [("0", "8 1 true 0036\n"), ("2", "8 1 true 0036\n")] {
        let library = folder.file("librust.a");
        let mut rustc = Command::new(tools::find("rustc").unwrap());
        rustc.args(["--crate-type=staticlib", "--edition=2024", "-C"]);
        rustc
            .arg(format!("opt-level={level}"))
            .arg("-o")
            .args([&library, &source]);
        assert!(rustc.status().unwrap().success());
        folder.compile(
            "main.bc",
            "unsigned from_rust(unsigned); int main(void) { return from_rust(7); }",
            &[],
        );
        let run = |arguments: &[&str]| farcall_in(&folder, arguments).printed();
        assert_eq!(run(&["run", "main.bc", "librust.a"]), expected);
        // Without what nothing needs, too.
        run(&[
            "build",
            "--gc-sections",
            "--export=main",
            "main.bc",
            "librust.a",
            "-o",
            "image",
        ]);
        assert_eq!(run(&["run", "image"]), expected);
    }
}
