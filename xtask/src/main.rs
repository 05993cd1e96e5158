//! farcall's tasks: `cargo xtask` prints them.
//!
//! This crate must build on a machine that has rustup and gcc alone, because it is what installs the rest.
//!
//! To add a task: write its file, and add its row to [`TASKS`].

#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

mod aarch64;
mod bench;
mod checks;
mod command;
mod demo;
mod fuzz;
mod nightly;
mod packages;
mod programs;
mod setup;
mod test;
mod watched;

/// A task, by the name it is called by.
struct Task {
    name: &'static str,
    summary: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "setup",
        summary: "install what building and testing needs: LLVM 22, clang, lld, ...",
        run: setup::run,
    },
    Task {
        name: "test",
        summary: "run every check and test; `test TEXT` the steps so named; `test -- ARGS` runs `cargo test ARGS` alone",
        run: test::run,
    },
    Task {
        name: "demo",
        summary: "compile SQLite once, ship it to two executors and work there; `demo --machines`: on two machines",
        run: demo::run,
    },
    Task {
        name: "bench",
        summary: "measure beside peers, into BENCHMARKS.md; `bench` prints what there is",
        run: bench::run,
    },
    Task {
        name: "fuzz",
        summary: "fuzz the linker, the image reader and the loader; `fuzz SECONDS [TARGET]`, or `fuzz smoke`",
        run: fuzz::run,
    },
    Task {
        name: "miri",
        summary: "run the form of images and the way to a module in Miri, two minutes, with nightly",
        run: nightly::miri,
    },
    Task {
        name: "tsan",
        summary: "run the loader's tests of threads under ThreadSanitizer, with nightly",
        run: nightly::tsan,
    },
    Task {
        name: "lint",
        summary: "check the formatting and run clippy",
        run: checks::lint,
    },
    Task {
        name: "doc",
        summary: "build the documentation",
        run: checks::doc,
    },
    Task {
        name: "deny",
        summary: "check the licences and sources of dependencies with cargo-deny",
        run: checks::deny,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let Some((name, args)) = args.split_first() else {
        print_tasks();
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print_tasks();
        return Ok(());
    }
    match TASKS.iter().find(|task| task.name == name) {
        Some(task) => (task.run)(args),
        None => bail!("{name}: no such task: `cargo xtask` prints them"),
    }
}

fn print_tasks() {
    for Task { name, summary, .. } in TASKS {
        println!("cargo xtask {name:<6} {summary}");
    }
}

/// For a task that takes no argument.
fn no_arguments(args: &[String]) -> Result<()> {
    match args.first() {
        Some(arg) => bail!("{arg}: unexpected argument"),
        None => Ok(()),
    }
}
