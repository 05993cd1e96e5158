//! `cargo xtask test`: everything that has to pass.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use farcall_testkit::paths::target_dir;
use farcall_testkit::tools::REQUIRE_ALL;

use crate::command::{cargo, shown};
use crate::programs::Tests;
use crate::{aarch64, checks, fuzz, setup, watched};

/// One step of the run.
struct Step {
    name: &'static str,
    /// Or why it cannot be run here.
    work: Result<Work, String>,
}

enum Work {
    Command(Command),
    Tests(Tests),
}

impl From<Command> for Work {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

impl From<Tests> for Work {
    fn from(tests: Tests) -> Self {
        Self::Tests(tests)
    }
}

/// Runs all steps, or those whose name has the text, or with `-- ARGS` the tests alone, with `ARGS` for `cargo test`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let steps = match args {
        [] => all_steps(),
        [dashes, args @ ..] if dashes == "--" && !args.is_empty() => chosen_steps(args),
        [text] => named_steps(text)?,
        [_, arg, ..] => {
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
            work: Ok(checks::formatting().into()),
        },
        Step {
            name: "clippy",
            work: Ok(checks::clippy().into()),
        },
    ];
    let has_other_machine = !cfg!(target_arch = "aarch64");
    if has_other_machine {
        // Before what takes minutes: what is wrong for that machine alone shows at once.
        steps.push(Step {
            name: "clippy, aarch64",
            work: aarch64::clippy().map(Work::from),
        });
    }
    steps.push(Step {
        name: "doc",
        work: Ok(checks::documentation().into()),
    });
    steps.push(Step {
        name: "build, executor",
        work: Ok(cargo(["build", "--release", "--package", "farcall-executor"]).into()),
    });
    steps.extend(PROFILES.map(|profile| Step {
        name: profile.name,
        work: Ok(tests([profile.args, profile.packages].concat()).into()),
    }));
    if has_other_machine {
        steps.push(Step {
            name: "test, aarch64",
            work: aarch64::tests().map(Work::from),
        });
    }
    steps.extend(static_steps());
    steps.push(Step {
        name: "fuzz",
        work: Ok(cargo(["xtask", "fuzz", fuzz::SMOKE]).into()),
    });
    steps
}

/// The tests, doc tests among them, run in both profiles: overflow checks in one, the optimiser in the other.
const PROFILES: [Profile; 2] = [
    Profile {
        name: "test, dev",
        args: &[],
        packages: &[],
    },
    Profile {
        name: "test, release",
        args: &["--profile", "optimized-tests"],
        // Benchmarks have no tests: that they are built once is enough.
        packages: &[
            "--workspace",
            "--exclude",
            "farcall-benches",
            "--exclude",
            "farcall-static-host",
        ],
    },
];

struct Profile {
    name: &'static str,
    args: &'static [&'static str],
    /// What chooses the packages, where that is not left to cargo.
    packages: &'static [&'static str],
}

fn tests(args: Vec<&'static str>) -> Tests {
    Tests {
        args,
        // A test that cannot run here fails: a run that says it is complete has to be.
        environment: vec![(REQUIRE_ALL, "1")],
        runner: "",
    }
}

/// The steps whose name has the text.
fn named_steps(text: &str) -> Result<Vec<Step>> {
    let mut steps = all_steps();
    let names: Vec<_> = steps.iter().map(|step| step.name).collect();
    steps.retain(|step| step.name.contains(text));
    if steps.is_empty() {
        bail!(
            "{text}: no such step: there are {}; arguments for `cargo test` come after `--`",
            names.join("; ")
        );
    }
    Ok(steps)
}

/// The tests that the arguments choose, as cargo runs them.
fn chosen_steps(args: &[String]) -> Vec<Step> {
    // At the root all crates are tested unless the arguments choose some, with which `--workspace` would not go.
    let steps = PROFILES.map(|profile| {
        let mut command = tests(profile.args.to_vec()).cargo_test();
        command.args(args);
        Step {
            name: profile.name,
            work: Ok(command.into()),
        }
    });
    steps.into()
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
            work: Ok(command.into()),
        }
    })
}

/// Half the disk, and a first build that takes less time: what is kept for a next build pays only where there is one.
const INCREMENTAL: (&str, &str) = ("CARGO_INCREMENTAL", "0");

/// How long a command may take that is no test program: it builds, most of the time.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs all, whatever fails: one run shows all that has to be mended.
fn run_steps(steps: Vec<Step>) -> Result<()> {
    let mut ends: Vec<(&str, String)> = Vec::new();
    let mut failed = Vec::new();
    for Step { name, work } in steps {
        let work = match work {
            Ok(work) => work,
            Err(reason) => {
                println!("==> {name}: NOT RUN: {reason}");
                ends.push((name, format!("NOT RUN: {reason}")));
                continue;
            }
        };
        let start = Instant::now();
        let result = match work {
            Work::Command(mut command) => {
                println!("==> {name}: {}", shown(&command));
                run_command(command.env(INCREMENTAL.0, INCREMENTAL.1))
            }
            Work::Tests(mut tests) => {
                println!("==> {name}: {}", shown(&tests.cargo_test()));
                tests.environment.push(INCREMENTAL);
                tests.run()
            }
        };
        let time = start.elapsed().as_secs_f64();
        let end = if result.is_ok() { "ok" } else { "FAILED" };
        ends.push((name, format!("{time:>8.1} s  {end}")));
        if let Err(error) = result {
            println!("==> {name}: FAILED: {error:#}");
            failed.push(format!("{name}: {error:#}"));
        }
    }
    for (name, end) in &ends {
        println!("{name:<16} {end}");
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    println!("==> all steps that were run passed");
    Ok(())
}

/// Runs a command to its end, or to the limit. Nobody types: who reads what is typed sees its end.
fn run_command(command: &mut Command) -> Result<()> {
    command.stdin(Stdio::null());
    let end = watched::run(command, LIMIT, &mut io::stderr())?;
    if !end.is_success() {
        bail!("{}: {end}", shown(command));
    }
    Ok(())
}
