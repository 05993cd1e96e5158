//! Builds LLJIT's C++ against the headers of the LLVM that `llvm-sys` found. Only the program that names the archive has it.

use std::process::Command;

fn main() {
    let config =
        std::env::var("DEP_LLVM_22_CONFIG_PATH").expect("llvm-sys tells where llvm-config is");
    let include = Command::new(config)
        .arg("--includedir")
        .output()
        .expect("llvm-config runs");
    let include = String::from_utf8(include.stdout).expect("a path in UTF-8");
    let source = "lljit/peer.cpp";
    println!("cargo::rerun-if-changed={source}");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .flag("-fno-exceptions")
        .flag("-fno-rtti")
        .flag("-isystem")
        .flag(include.trim())
        .define("__STDC_CONSTANT_MACROS", None)
        .define("__STDC_FORMAT_MACROS", None)
        .define("__STDC_LIMIT_MACROS", None)
        .file(source)
        .opt_level(2)
        .cargo_metadata(false)
        .compile("farcall_bench_lljit");
    let folder = std::env::var("OUT_DIR").expect("cargo sets it");
    println!("cargo::rustc-link-search=native={folder}");
}
