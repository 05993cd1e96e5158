//! `cargo xtask demo`: SQLite, compiled once and run elsewhere, twice; with `--machines` on machines of their own.

use std::path::PathBuf;
use std::thread;

use anyhow::{Result, bail};
use farcall_testkit::net::{AS_ROOT, can_have_hosts};
use farcall_testkit::paths::target_dir;
use farcall_testkit::{Level, real};

use crate::command::{cargo, command, run as run_command};
use crate::setup;

/// Makes what the demo starts from, builds farcall, and runs `crates/farcall/examples/demo` with the paths of
/// SQLite's bitcode, the workload's, and the same program linked natively.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let is_on_machines = match args {
        [] => false,
        [option] if option == "--machines" => true,
        [arg, ..] => bail!("{arg}: unexpected argument: `--machines` is the only one"),
    };
    setup::ensure()?;
    // Before what takes minutes.
    if is_on_machines && let Err(error) = can_have_hosts() {
        bail!("no network namespaces, which stand for machines: {error}: {AS_ROOT}");
    }
    println!(
        "==> clang-22: SQLite to bitcode, and to a native program to compare with (slow the first time)"
    );
    let inputs = inputs()?;

    println!("==> cargo: farcall, its executor and the demo (slow the first time)");
    // In one build, so that no dependency is built twice with different features. The demo starts the executor that lies
    // in the folder above its own.
    run_command(&mut cargo([
        "build",
        "--release",
        "--package=farcall-executor",
        "--bin=farcall-executor",
        "--package=farcall",
        "--example=demo",
    ]))?;

    println!("==> the demo\n");
    let mut demo = command(
        target_dir().join("release/examples/demo"),
        is_on_machines.then_some("--machines"),
    );
    run_command(demo.args(inputs))
}

fn inputs() -> Result<[PathBuf; 3]> {
    let program = real::sqlite_main()?;
    // Two compilations of the same large file, which take as long as one.
    let (bitcode, native) = thread::scope(|scope| {
        let native = scope.spawn(|| program.executable(Level::O2));
        let bitcode = program.bitcode(Level::O2);
        (
            bitcode,
            native.join().expect("compiling returns its errors"),
        )
    });
    match <[PathBuf; 3]>::try_from(bitcode?) {
        Ok([sqlite, workload, _main]) => Ok([sqlite, workload, native?]),
        Err(files) => bail!("{} bitcode files where three are needed", files.len()),
    }
}
