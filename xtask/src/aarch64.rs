//! The tests of what loads and runs images, for AArch64 under QEMU.

use std::path::Path;
use std::process::{Command, Stdio};

use farcall_testkit::tools::{self, REQUIRE_ALL};

use crate::command::{cargo, command, run, shown};
use crate::programs::Tests;

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// The words that start a program of that machine.
const EMULATOR: &str = "qemu-aarch64-static -L /usr/aarch64-linux-gnu";

const PACKAGES: [&str; 8] = [
    "--package",
    "farcall-loader",
    "--package",
    "farcall-executor",
    "--package",
    "farcall-native",
    "--package",
    "farcall-bare",
];

/// The tests, or why they cannot be run.
pub(crate) fn tests() -> Result<Tests, String> {
    ensure_target()?;
    let mut args = PACKAGES.to_vec();
    args.extend(["--target", TARGET]);
    Ok(Tests {
        args,
        environment: vec![
            (
                "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
                "aarch64-linux-gnu-gcc",
            ),
            // The tests start programs by these words too.
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", EMULATOR),
            (REQUIRE_ALL, "1"),
        ],
        runner: EMULATOR,
    })
}

/// The command that runs clippy over what only that machine compiles, or why there is none.
pub(crate) fn clippy() -> Result<Command, String> {
    ensure_target()?;
    let mut clippy = cargo(["clippy"]);
    clippy.args(PACKAGES);
    clippy.args(["--all-targets", "--target", TARGET, "--", "-D", "warnings"]);
    Ok(clippy)
}

/// Installs Rust's standard library for AArch64.
fn ensure_target() -> Result<(), String> {
    let mut query = command("rustc", ["--print", "target-libdir", "--target", TARGET]);
    let is_there = query.stderr(Stdio::null()).output().is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        output.status.success() && Path::new(&folder).is_dir()
    });
    if is_there {
        return Ok(());
    }
    if tools::find("rustup").is_err() {
        return Err(format!("no rustup, which would install Rust's {TARGET}"));
    }
    let mut add = command("rustup", ["target", "add", TARGET]);
    println!("setup: {}", shown(&add));
    run(&mut add).map_err(|error| format!("{error:#}"))
}
