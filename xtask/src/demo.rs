//! `cargo xtask demo`: SQLite, compiled once and run elsewhere, twice.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use farcall_testkit::{Level, Program, real};

use crate::command::{cargo, run as run_command};
use crate::setup;

/// Makes the bitcode that the demo starts from, builds farcall, and runs `crates/farcall/examples/demo.rs` with the
/// paths of the two bitcode files, SQLite's and the workload's, before the arguments given.
pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::ensure()?;
    println!("==> SQLite to bitcode, by clang-22 (kept for the next time)");
    let start = Instant::now();
    let sqlite = bitcode(&real::sqlite()?)?;
    let workload = bitcode(&real::sqlite_workload()?)?;
    println!("{:.1} s", start.elapsed().as_secs_f64());

    println!("==> farcall, its executor and the demo");
    // All binaries: the demo starts the executor that lies beside it.
    run_command(&mut cargo(["build", "--workspace", "--release", "--bins"]))?;
    let mut demo = cargo([
        "run",
        "--release",
        "--package",
        "farcall",
        "--example",
        "demo",
        "--",
    ]);
    run_command(demo.arg(sqlite).arg(workload).args(args))
}

/// The one bitcode file of a program that has one source.
fn bitcode(program: &Program) -> Result<PathBuf> {
    let files = program
        .bitcode(Level::O2)
        .context("cannot compile the demo's sources")?;
    match <[PathBuf; 1]>::try_from(files) {
        Ok([file]) => Ok(file),
        Err(files) => bail!("{} bitcode files where one is needed", files.len()),
    }
}
