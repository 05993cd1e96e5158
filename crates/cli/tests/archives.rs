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
