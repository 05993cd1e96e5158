//! `cargo xtask test`: everything that has to pass.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use farcall_testkit::paths::target_dir;
use farcall_testkit::tools::REQUIRE_ALL;

use crate::command::{cargo, run as run_command, shown};
use crate::{aarch64, checks, fuzz, setup};

/// One command of the run.
struct Step {
    name: &'static str,
    /// Or why it cannot be run here.
    command: Result<Command, String>,
}

/// Runs all steps, or with `-- ARGS` the tests alone, with `ARGS` for `cargo test`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let steps = match args {
        [] => all_steps(),
        [dashes, args @ ..] if dashes == "--" && !args.is_empty() => test_steps(args),
        [arg, ..] => {
            bail!("{arg}: unexpected argument: arguments for `cargo test` come after `--`")
        }
    };
    setup::ensure()?;
    run_steps(steps)
}

fn all_steps() -> Vec<Step> {
    let mut steps = vec![
        Step {
            name: "format",
            command: Ok(checks::formatting()),
        },
        Step {
            name: "clippy",
            command: Ok(checks::clippy()),
        },
        Step {
            name: "doc",
            command: Ok(checks::documentation()),
        },
        Step {
            name: "build, release",
            command: Ok(cargo(["build", "--workspace", "--release"])),
        },
    ];
    steps.extend(test_steps(&[]));
    if !cfg!(target_arch = "aarch64") {
        steps.push(Step {
            name: "clippy, aarch64",
            command: aarch64::clippy(),
        });
        steps.push(Step {
            name: "test, aarch64",
            command: aarch64::tests(),
        });
    }
    steps.extend(static_steps());
    steps.push(Step {
        name: "fuzz",
        command: Ok(cargo(["xtask", "fuzz", fuzz::SMOKE])),
    });
    steps
}

/// The tests, doc tests among them, in both profiles: overflow checks in one, the optimiser in the other.
fn test_steps(args: &[String]) -> Vec<Step> {
    // At the root all crates are tested unless the arguments choose some, with which `--workspace` would not go.
    let tests = |profile: &[&str]| {
        let mut command = cargo(["test"]);
        // A test that cannot run here fails: a run that says it is complete has to be.
        command.args(profile).args(args).env(REQUIRE_ALL, "1");
        command
    };
    vec![
        Step {
            name: "test, dev",
            command: Ok(tests(&[])),
        },
        Step {
            name: "test, release",
            command: Ok(tests(&["--profile", "optimized-tests"])),
        },
    ]
}

/// The loader's own tests as fully static programs. Its other tests load what wants a dynamic linker.
fn static_steps() -> impl Iterator<Item = Step> {
    let targets = [
        ("test, musl", "x86_64-unknown-linux-musl"),
        ("test, static", "x86_64-unknown-linux-gnu"),
    ];
    targets.into_iter().map(|(name, target)| {
        let mut command = cargo(["test", "--package", "farcall-loader", "--lib"]);
        // A folder of their own: other flags for the same target would have all built again.
        command.args(["--target", target, "--target-dir"]);
        command.arg(target_dir().join("static-host"));
        command.env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
        Step {
            name,
            command: Ok(command),
        }
    })
}

fn run_steps(steps: Vec<Step>) -> Result<()> {
    let mut ends: Vec<(&str, String)> = Vec::new();
    for Step { name, command } in steps {
        let mut command = match command {
            Ok(command) => command,
            Err(reason) => {
                println!("==> {name}: NOT RUN: {reason}");
                ends.push((name, format!("NOT RUN: {reason}")));
                continue;
            }
        };
        println!("==> {name}: {}", shown(&command));
        let start = Instant::now();
        let result = run_command(&mut command);
        let time = start.elapsed().as_secs_f64();
        let end = if result.is_ok() { "ok" } else { "FAILED" };
        ends.push((name, format!("{time:>8.1} s  {end}")));
        if result.is_err() {
            print_ends(&ends);
        }
        result.with_context(|| format!("step `{name}` failed"))?;
    }
    println!("==> all steps that were run passed");
    print_ends(&ends);
    Ok(())
}

fn print_ends(ends: &[(&str, String)]) {
    for (name, end) in ends {
        println!("{name:<16} {end}");
    }
}
