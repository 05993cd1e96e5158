//! LLJIT with JITLink as a contender of the bench of loading: `farcall-bench-jitlink SUBJECT OBJECT`.

#![allow(
    unsafe_code,
    reason = "LLVM's C interface, and calling what it loads, is what is measured"
)]

mod orc;

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use farcall_benches::{Subject, serve};

use crate::orc::JitLink;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [subject, object] = &arguments[..] else {
        eprintln!(
            "farcall-bench-jitlink: SUBJECT and OBJECT are wanted: `cargo xtask bench load` starts it"
        );
        return ExitCode::FAILURE;
    };
    let Some(subject) = Subject::named(subject) else {
        eprintln!("{subject}: no such subject");
        return ExitCode::FAILURE;
    };
    match fs::read(Path::new(object)) {
        Ok(bytes) => {
            serve(JitLink::new(bytes), subject);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{object}: {error}");
            ExitCode::FAILURE
        }
    }
}
