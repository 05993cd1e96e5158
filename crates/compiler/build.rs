//! Builds the C++ shim against the headers of the LLVM that `llvm-sys` found.

use std::process::Command;

fn main() {
    let config =
        std::env::var("DEP_LLVM_22_CONFIG_PATH").expect("llvm-sys tells where llvm-config is");
    let include = Command::new(config)
        .arg("--includedir")
        .output()
        .expect("llvm-config runs");
    let include = String::from_utf8(include.stdout).expect("a path in UTF-8");
    let sources = [
        "divide", "merge", "outline", "parts", "scope", "shim", "split",
    ]
    .map(|name| format!("src/llvm/{name}.cpp"));
    println!("cargo::rerun-if-changed=src/llvm/parts.h");
    for source in &sources {
        println!("cargo::rerun-if-changed={source}");
    }
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
        .files(sources)
        // What headers leave to be inlined, and is not, is libLLVM's too. A linker exports such a function from a
        // program, for the library to use, and so keeps it and LLVM in programs that compile nothing.
        .opt_level(2)
        .flag("-fvisibility=hidden")
        .flag("-fvisibility-inlines-hidden")
        .compile("farcall_llvm_shim");
}
