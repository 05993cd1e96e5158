//! The checks that are no tests: `lint`, `doc` and `deny`.

use std::process::Command;

use anyhow::{Result, bail};
use farcall_testkit::tools;

use crate::command::{cargo, run};
use crate::setup;

pub(crate) fn lint(args: &[String]) -> Result<()> {
    crate::no_arguments(args)?;
    setup::ensure()?;
    run(&mut formatting())?;
    run(&mut clippy())
}

pub(crate) fn doc(args: &[String]) -> Result<()> {
    crate::no_arguments(args)?;
    setup::ensure()?;
    run(&mut documentation())
}

pub(crate) fn deny(args: &[String]) -> Result<()> {
    if tools::find("cargo-deny").is_err() {
        bail!("cargo-deny: not installed: `cargo install --locked cargo-deny` installs it");
    }
    run(cargo(["deny", "check"]).args(args))
}

pub(crate) fn formatting() -> Command {
    cargo(["fmt", "--all", "--check"])
}

pub(crate) fn clippy() -> Command {
    cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}

pub(crate) fn documentation() -> Command {
    let mut command = cargo(["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-Dwarnings");
    command
}
