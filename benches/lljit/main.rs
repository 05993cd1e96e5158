//! LLJIT, and LLVM's own way to an object, as contenders of the bench of compiling: `farcall-bench-lljit WORK THREADS FOLDER`.

#![allow(
    unsafe_code,
    reason = "LLVM, and calling what it compiles, is what is measured"
)]

use std::env;
use std::ffi::{CString, c_char, c_uint};
use std::path::Path;
use std::process::ExitCode;

use farcall_benches::{Jit, Work, serve_jit};
// LLVM itself, which `peer.cpp` is linked against.
use llvm_sys as _;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [work, threads, folder] = words[..] else {
        eprintln!(
            "farcall-bench-lljit: WORK, THREADS and FOLDER are wanted: `cargo xtask bench compile` starts it"
        );
        return ExitCode::FAILURE;
    };
    let (Some(work), Ok(n_threads)) = (Work::named(work), threads.parse()) else {
        eprintln!("{work}, {threads}: no such work, or no number");
        return ExitCode::FAILURE;
    };
    serve_jit(Peer::new(work, n_threads), Path::new(folder));
    ExitCode::SUCCESS
}

/// `peer.cpp`'s.
#[repr(C)]
struct RawJit {
    _private: [u8; 0],
}

#[link(name = "farcall_bench_lljit", kind = "static")]
#[link(name = "stdc++")]
unsafe extern "C" {
    fn bench_lljit_create(level: c_uint, optimizes: bool, n_threads: c_uint) -> *mut RawJit;
    fn bench_lljit_add(jit: *mut RawJit, bytes: *const c_char, length: usize);
    fn bench_lljit_lookup(
        jit: *mut RawJit,
        names: *const *const c_char,
        count: usize,
        addresses: *mut u64,
    );
    fn bench_lljit_clear(jit: *mut RawJit);
    fn bench_llvm_object(
        jit: *mut RawJit,
        optimizes: bool,
        bytes: *const c_char,
        length: usize,
    ) -> usize;
}

struct Peer {
    jit: *mut RawJit,
    optimizes: bool,
}

impl Peer {
    fn new(work: Work, n_threads: c_uint) -> Self {
        let optimizes = work == Work::Optimize;
        // SAFETY: the level is one that there is.
        let jit = unsafe { bench_lljit_create(work.level().into(), optimizes, n_threads) };
        Self { jit, optimizes }
    }
}

impl Jit for Peer {
    fn callable(&mut self, modules: &[&[u8]], names: &[String]) -> Vec<u64> {
        for module in modules {
            // SAFETY: the JIT is live, and the bytes are during the call.
            unsafe { bench_lljit_add(self.jit, module.as_ptr().cast(), module.len()) };
        }
        let names: Vec<CString> = names
            .iter()
            .map(|name| CString::new(name.as_str()).expect("no zero byte"))
            .collect();
        let names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let mut addresses = vec![0; names.len()];
        // SAFETY: the JIT is live; there are so many names, which end in a zero byte, and as much room.
        unsafe {
            bench_lljit_lookup(
                self.jit,
                names.as_ptr(),
                names.len(),
                addresses.as_mut_ptr(),
            );
        }
        addresses
    }

    fn clear(&mut self) {
        // SAFETY: the JIT is live, and nobody calls what it has made.
        unsafe { bench_lljit_clear(self.jit) };
    }

    fn image(&mut self, ir: &[u8]) -> usize {
        // SAFETY: the JIT is live, and the bytes are during the call.
        unsafe { bench_llvm_object(self.jit, self.optimizes, ir.as_ptr().cast(), ir.len()) }
    }
}
