//! Running, calling and inspecting a ready image never loads LLVM, and an executor has none.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::path::{Path, PathBuf};

use common::{Folder, farcall_in};
use farcall_testkit::{elf, require_tools, tools};

/// The largest executor, in bytes, without its symbols.
const EXECUTOR_LIMIT: u64 = 4 << 20;

fn binary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_farcall")).with_file_name(name)
}

/// The executor as it is shipped: built with optimisation. It is of another package, so cargo has
/// not built it for this test.
fn executor() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_farcall")).ancestors().nth(2);
    let mut build = tools::cargo();
    build.args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "farcall-executor",
    ]);
    build.arg("--target-dir").arg(target.unwrap());
    assert!(build.status().unwrap().success());
    target.unwrap().join("release/farcall-executor")
}

fn assert_has_no_llvm(program: &Path) {
    let needed = elf::needed_libraries(program).unwrap();
    assert!(
        !needed.iter().any(|name| name.contains("LLVM")),
        "{needed:?}"
    );
    let of_llvm = |name: &&String| name.starts_with("LLVM") || name.contains("4llvm");
    let names = elf::symbol_names(program).unwrap();
    assert!(!names.is_empty(), "it is not stripped");
    assert_eq!(names.iter().find(of_llvm), None, "{}", program.display());
}

#[test]
fn only_the_compiler_has_llvm() {
    require_tools!("readelf");
    assert_has_no_llvm(&binary("farcall"));
    assert_has_no_llvm(&executor());
    let compiler = elf::needed_libraries(&binary("farcall-compile")).unwrap();
    assert!(
        compiler.iter().any(|name| name.contains("LLVM")),
        "{compiler:?}"
    );
}

#[test]
fn an_executor_is_small() {
    require_tools!("strip");
    let folder = Folder::new();
    let stripped = folder.file("farcall-executor");
    let executor = executor();
    tools::run(
        "strip",
        &["-o".as_ref(), stripped.as_os_str(), executor.as_os_str()],
    )
    .unwrap();
    let size = stripped.metadata().unwrap().len();
    assert!(size < EXECUTOR_LIMIT, "{size} bytes");
}

#[test]
fn a_running_image_has_no_llvm_beside_it() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let source = "#include <stdio.h>
        int show(void) {
            char line[4096];
            FILE *maps = fopen(\"/proc/self/maps\", \"r\");
            while (fgets(line, sizeof line, maps)) fputs(line, stdout);
            fclose(maps);
            return 0;
        }
        int main(void) { return show(); }";
    folder.compile("maps.bc", source, &[]);
    folder.build("maps", &["maps.bc"]);
    for args in [
        &["run", "maps.bc"][..],
        &["run", "maps"],
        &["call", "maps", "show"],
    ] {
        let maps = farcall_in(&folder, args).printed();
        assert!(maps.contains("libc.so"), "{maps}");
        assert!(!maps.contains("LLVM"), "{args:?}: {maps}");
        assert!(
            !maps.contains("rwx"),
            "{args:?}: writable and executable: {maps}"
        );
        // Libraries that this program has no need of.
        assert!(!maps.contains("libstdc++"), "{args:?}: {maps}");
    }
}
