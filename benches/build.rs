//! Builds the C++ of what uses LLVM against the headers of the LLVM that `llvm-sys` found. Only the programs that name an archive have
//! it.

use std::process::Command;

fn main() {
    let config =
        std::env::var("DEP_LLVM_22_CONFIG_PATH").expect("llvm-sys tells where llvm-config is");
    let include = Command::new(config)
        .arg("--includedir")
        .output()
        .expect("llvm-config runs");
    let include = String::from_utf8(include.stdout).expect("a path in UTF-8");
    for contender in ["lljit", "remote"] {
        build(contender, include.trim());
    }
    let folder = std::env::var("OUT_DIR").expect("cargo sets it");
    println!("cargo::rustc-link-search=native={folder}");
}

/// Makes an archive of a contender's `peer.cpp`.
fn build(contender: &str, include: &str) {
    let source = format!("{contender}/peer.cpp");
    println!("cargo::rerun-if-changed={source}");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .flag("-fno-exceptions")
        .flag("-fno-rtti")
        .flag("-isystem")
        .flag(include)
        .define("__STDC_CONSTANT_MACROS", None)
        .define("__STDC_FORMAT_MACROS", None)
        .define("__STDC_LIMIT_MACROS", None)
        .file(source)
        .opt_level(2)
        .cargo_metadata(false)
        .compile(&format!("farcall_bench_{contender}"));
}
