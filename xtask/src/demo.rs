//! `cargo xtask demo`: SQLite, compiled once and run elsewhere, twice.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use farcall_testkit::paths::target_dir;
use farcall_testkit::{Level, Program, real};

use crate::command::{cargo, command, run as run_command};
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
    // In one build, so that no dependency is built twice with different features; all binaries, because the demo starts
    // the executor that lies in the folder above it.
    run_command(&mut cargo([
        "build",
        "--workspace",
        "--release",
        "--bins",
        "--example",
        "demo",
    ]))?;
    let demo = target_dir().join("release/examples/demo");
    run_command(command(demo, [sqlite, workload]).args(args))
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
