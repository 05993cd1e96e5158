//! `cargo xtask test`: everything that has to pass.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use farcall_testkit::tools::REQUIRE_ALL;

use crate::command::{cargo, run as run_command, shown};
use crate::{checks, fuzz, setup};

/// One command of the run.
struct Step {
    name: &'static str,
    command: Command,
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
            command: checks::formatting(),
        },
        Step {
            name: "clippy",
            command: checks::clippy(),
        },
        Step {
            name: "doc",
            command: checks::documentation(),
        },
        Step {
            name: "build, release",
            command: cargo(["build", "--workspace", "--release"]),
        },
    ];
    steps.extend(test_steps(&[]));
    steps.push(Step {
        name: "fuzz",
        command: cargo(["xtask", "fuzz", fuzz::SMOKE]),
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
            command: tests(&[]),
        },
        Step {
            name: "test, release",
            command: tests(&["--release"]),
        },
    ]
}

fn run_steps(steps: Vec<Step>) -> Result<()> {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for Step { name, mut command } in steps {
        println!("==> {name}: {}", shown(&command));
        let start = Instant::now();
        let result = run_command(&mut command);
        let time = start.elapsed();
        if result.is_err() {
            print_times(&times);
            println!("{name:<16} {:>8.1} s  FAILED", time.as_secs_f64());
        }
        result.with_context(|| format!("step `{name}` failed"))?;
        times.push((name, time));
    }
    println!("==> all steps passed");
    print_times(&times);
    Ok(())
}

fn print_times(times: &[(&str, Duration)]) {
    for (name, time) in times {
        println!("{name:<16} {:>8.1} s  ok", time.as_secs_f64());
    }
}
