//! Debug information: that of an image, or of the file beside it, says what that of another linker's
//! output says, and debuggers take it.
//!
//! The sources are in `debug/`: two files that share templates, inline functions and types, of which
//! one linker's copy must go as the other's does.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use farcall_linker::{DebugInfo, Linker};
use farcall_testkit::{require_tools, tools};

/// Each is a compiler and its options: versions and parts of DWARF, both forms of compression, both machines.
const COMPILERS: &[&[&str]] = &[
    &["g++", "-g", "-O1"],
    &["g++", "-g3", "-gdwarf-4", "-fdebug-types-section"],
    &["g++", "-g", "-gz=zlib-gnu", "-O2", "-ffunction-sections"],
    &["clang++-22", "-g", "-gz=zlib"],
    &["clang++-22", "-g", "-gz=zstd", "-gpubnames", "-O2"],
    &[
        "clang++-22",
        "-g",
        "-gdwarf-4",
        "-fdebug-types-section",
        "-O1",
    ],
    &[
        "clang++-22",
        "-g",
        "--target=aarch64-linux-gnu",
        "-gdwarf-5",
    ],
];

#[test]
fn debug_information_says_what_another_linkers_does() {
    require_tools!(
        "g++",
        "clang++-22",
        "ld.lld-22",
        "llvm-dwarfdump-22",
        "objcopy",
        "eu-elflint"
    );
    let folder = tempfile::tempdir().unwrap();
    for command in COMPILERS {
        let objects = compile(folder.path(), command);
        let kept = folder.path().join("kept");
        fs::write(
            &kept,
            linker(&objects).debug_info(DebugInfo::Keep).link().unwrap(),
        )
        .unwrap();
        let split = linker(&objects).link_split().unwrap();
        assert!(
            split.image == linker(&objects).link().unwrap(),
            "splitting debug information off changes nothing"
        );
        let debug_file = folder.path().join("split.debug");
        fs::write(&debug_file, &split.debug_file).unwrap();
        check_form(&debug_file);

        // Not every linker knows the old form of compression.
        let is_old = command.contains(&"-gz=zlib-gnu");
        for object in objects.iter().filter(|_| is_old) {
            run("objcopy", &["--decompress-debug-sections"], object);
        }
        let theirs = folder.path().join("theirs.so");
        let mut link = Command::new(tools::find("ld.lld-22").unwrap());
        link.args(["-shared", "-o"]).arg(&theirs).args(&objects);
        assert!(link.status().unwrap().success());
        for what in [
            "--debug-info",
            "--debug-types",
            "--debug-macro",
            "--debug-line",
        ] {
            let expected = dumped(what, &theirs);
            assert!(expected.lines().count() > 1, "{what} says something");
            for ours in [&kept, &debug_file] {
                assert!(
                    dumped(what, ours) == expected,
                    "{}: {what} of {} differs from lld's",
                    command.join(" "),
                    ours.display()
                );
            }
        }
    }
}

#[test]
fn a_debugger_finds_lines_types_and_local_functions() {
    require_tools!("g++", "gdb");
    let folder = tempfile::tempdir().unwrap();
    let objects = compile(folder.path(), &["g++", "-g", "-O1"]);
    let kept = folder.path().join("kept");
    fs::write(
        &kept,
        linker(&objects).debug_info(DebugInfo::Keep).link().unwrap(),
    )
    .unwrap();
    let debug_file = folder.path().join("split.debug");
    fs::write(
        &debug_file,
        linker(&objects).link_split().unwrap().debug_file,
    )
    .unwrap();
    for file in [&kept, &debug_file] {
        let mut gdb = Command::new(tools::find("gdb").unwrap());
        gdb.args(["-nx", "-q", "-batch", "-iex", "set debuginfod enabled off"]);
        for command in ["info line twice", "ptype Box<int>", "info symbol only_here"] {
            gdb.args(["-ex", command]);
        }
        let output = gdb.arg(file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        for expected in [
            "main.cpp\" starts at address",
            "T value;",
            "only_here(int) in section .text",
        ] {
            assert!(
                said.contains(expected),
                "{expected} in {}: {said}",
                file.display()
            );
        }
    }
}

#[test]
fn symbols_are_found_in_more_sections_than_their_table_counts() {
    use std::fmt::Write as _;
    require_tools!("clang-22", "llvm-readelf-22");
    let folder = tempfile::tempdir().unwrap();
    let (source, object) = (folder.path().join("many.s"), folder.path().join("many.o"));
    let mut text = String::new();
    for index in 0..66_000 {
        writeln!(text, ".section set_{index},\"aw\",@progbits\n.byte 1").unwrap();
    }
    text += "last: .byte 7\n";
    fs::write(&source, text).unwrap();
    let arguments = ["--target=x86_64-linux-gnu", "-c", "-o"].map(String::from);
    let arguments = [arguments.as_slice(), &[object.display().to_string()]].concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run("clang-22", &arguments, &source);
    let kept = folder.path().join("kept");
    let image = linker(&[object]).debug_info(DebugInfo::Keep).link();
    fs::write(&kept, image.unwrap()).unwrap();

    let sections = run("llvm-readelf-22", &["--sections", "--wide"], &kept);
    let holds_last = |line: &&str| line.contains(" set_65999 ");
    let section = sections.lines().find(holds_last).unwrap();
    let index = section.split(['[', ']']).nth(1).unwrap().trim();
    let symbols = run("llvm-readelf-22", &["--symbols", "--wide"], &kept);
    let last = symbols.lines().find(|line| line.ends_with(" last"));
    let words: Vec<&str> = last.unwrap().split_whitespace().collect();
    assert_eq!(words[6], index, "{last:?}");
}

fn linker(objects: &[PathBuf]) -> Linker<'static> {
    let mut linker = Linker::new();
    for object in objects {
        // For as long as the test runs.
        let bytes: &'static [u8] = fs::read(object).unwrap().leak();
        linker.add(object.display().to_string(), bytes);
    }
    linker
}

/// Compiles the sources with a compiler and its options.
fn compile(folder: &Path, command: &[&str]) -> Vec<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debug");
    let compile = |name: &str| {
        let object = folder.join(name).with_extension("o");
        let mut compiler = Command::new(tools::find(command[0]).unwrap());
        compiler
            .args(&command[1..])
            .args(["-fPIC", "-ffreestanding", "-c", "-o"]);
        compiler.arg(&object).arg(sources.join(name));
        assert!(compiler.status().unwrap().success(), "{compiler:?}");
        object
    };
    ["main.cpp", "other.cpp"].map(compile).to_vec()
}

/// What the debug information of a file says, without addresses and offsets: linkers differ in them.
fn dumped(what: &str, file: &Path) -> String {
    let output = run("llvm-dwarfdump-22", &[what], file);
    let is_hexadecimal = |word: &str| word.contains("0x");
    let lines = output.lines().filter(|line| !line.contains("file format"));
    let without_numbers = lines.map(|line| {
        let words = line.split([' ', '\t', '(', ')', '[', ']', ',']);
        let words: Vec<_> = words.filter(|word| !is_hexadecimal(word)).collect();
        words.join(" ")
    });
    without_numbers.collect::<Vec<_>>().join("\n")
}

/// Whether a debug file has the form that one has, as `eu-elflint` sees it, which does not know the type of our note.
fn check_form(debug_file: &Path) {
    let mut command = Command::new(tools::find("eu-elflint").unwrap());
    let output = command.args(["--gnu-ld", "-d", "-q"]).arg(debug_file);
    let said = output.output().unwrap().stdout;
    let said = String::from_utf8_lossy(&said);
    let is_ours = |line: &str| line.is_empty() || line.contains("owner name 'farcall'");
    assert!(said.lines().all(is_ours), "{said}");
}

fn run(tool: &str, arguments: &[&str], file: &Path) -> String {
    let mut command: Command = Command::new(tools::find(tool).unwrap());
    let output = command.args(arguments).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}
