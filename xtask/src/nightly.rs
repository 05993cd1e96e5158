//! `cargo xtask miri` and `cargo xtask tsan`: what only the nightly toolchain can see of unsafe code.
//!
//! Miri runs the form of images and the way from an image to a module, in memory of its own and up to where code of
//! the image would be called (`crates/loader/src/sys/memory_miri.rs`). ThreadSanitizer runs the tests of many threads;
//! it sees the loader and what the standard library does, but not code of images.

use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{command, run};
use crate::setup;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Tests of the loader that call machine code, or ask the C library or the processor.
const NOT_IN_MIRI: [&str; 6] = [
    "callback::tests",
    "invoke::tests",
    "noexcept::tests",
    "tls",
    "libc_static::tests",
    // It takes 1 GiB.
    "a_reservation_is_aligned",
];

/// What has threads, by the file of tests and the tests of it.
const THREADS: [(&str, &[&str]); 2] = [
    ("stress", &["eight_threads_throw"]),
    (
        "loading",
        &["threads::", "lifetime::", "thread_local_models::"],
    ),
];

pub(crate) fn miri(args: &[String]) -> Result<()> {
    crate::no_arguments(args)?;
    needs("miri")?;
    // Addresses of images are numbers; that they become pointers again is what loading is.
    let miri = |package: &str| {
        let mut miri = nightly(["miri", "test", "--package", package]);
        miri.env("MIRIFLAGS", "-Zmiri-permissive-provenance");
        miri
    };
    run(&mut miri("farcall-image"))?;
    let mut loader = miri("farcall-loader");
    loader.args(["--lib", "--"]);
    for test in NOT_IN_MIRI {
        loader.args(["--skip", test]);
    }
    run(&mut loader)
}

pub(crate) fn tsan(args: &[String]) -> Result<()> {
    crate::no_arguments(args)?;
    needs("rust-src")?;
    setup::ensure()?;
    for (file, tests) in THREADS {
        let mut threads = nightly(["test", "-Zbuild-std", "--target", TARGET]);
        threads
            .args(["--package", "farcall-loader", "--test", file, "--"])
            .args(tests)
            .env("RUSTFLAGS", "-Zsanitizer=thread --cfg tsan")
            .env("CARGO_TARGET_DIR", "target/tsan");
        run(&mut threads)?;
    }
    Ok(())
}

/// `cargo +nightly args...`, whatever toolchain runs this task.
fn nightly<const N: usize>(args: [&str; N]) -> Command {
    let mut command = command("rustup", ["run", "nightly", "cargo"]);
    command
        .args(args)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO");
    command
}

fn needs(component: &str) -> Result<()> {
    let list = ["component", "list", "--toolchain", "nightly", "--installed"];
    let output = command("rustup", list).output();
    let installed = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let has = |installed: &str| installed.lines().any(|line| line.starts_with(component));
    if !installed.is_ok_and(|installed| has(&installed)) {
        bail!(
            "not installed: `rustup toolchain install nightly --component {component}` installs it"
        );
    }
    Ok(())
}
