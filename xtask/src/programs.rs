//! Test programs, several at a time: `cargo test` runs one after the other, and many do little but wait.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use farcall_testkit::paths::{target_dir, workspace_root};
use serde_json::Value;

use crate::command::{cargo, run as run_command, shown};
use crate::watched;

/// What `cargo test` is to build and run.
pub(crate) struct Tests {
    /// Arguments for `cargo test` that choose packages, profile and target.
    pub(crate) args: Vec<&'static str>,
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    /// The words that start a program of the target: none where this machine is one.
    pub(crate) runner: &'static str,
}

/// A test program, in the order in which they are shown.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Program {
    /// Where it is run, as cargo does.
    package: PathBuf,
    kind: String,
    name: String,
    executable: PathBuf,
}

/// What a program may take. The slowest takes about two minutes where there is little else to do, and it is there for those that would wait for ever.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How a program ended.
struct End {
    how: watched::End,
    time: Duration,
    output: PathBuf,
}

impl Tests {
    /// Builds, runs all test programs and then the doc tests. A program that fails keeps none from running.
    pub(crate) fn run(&self) -> Result<()> {
        let programs = self.build()?;
        let failed = self.run_all(&programs)?;
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        run_command(self.cargo_test().arg("--doc"))
    }

    /// The same as one command of cargo's.
    pub(crate) fn cargo_test(&self) -> Command {
        let mut command = cargo(["test"]);
        command
            .args(&self.args)
            .envs(self.environment.iter().copied());
        command
    }

    /// How many programs run at a time.
    fn n_at_a_time(&self) -> Result<usize> {
        Ok(match self.runner {
            // One more than there are cores, because there is nearly always one that waits.
            "" => thread::available_parallelism()?.get() + 1,
            // Emulated ones hardly wait.
            _ => thread::available_parallelism()?.get(),
        })
    }

    fn build(&self) -> Result<BTreeSet<Program>> {
        let mut build = self.cargo_test();
        build.args(["--no-run", "--message-format", "json-render-diagnostics"]);
        let output = build.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("{}: cannot start", shown(&build)))?;
        if !output.status.success() {
            bail!("{}: {}", shown(&build), output.status);
        }
        let lines = output.stdout.split(|&byte| byte == b'\n');
        let messages = lines.filter(|line| !line.is_empty()).map(|line| {
            serde_json::from_slice(line).context("cargo prints a message of JSON in each line")
        });
        let programs = messages.filter_map(|message: Result<Value>| match message {
            Ok(message) => program(&message).map(Ok),
            Err(error) => Some(Err(error)),
        });
        let programs: BTreeSet<_> = programs.collect::<Result<_>>()?;
        if programs.is_empty() {
            bail!("{}: no test program", shown(&build));
        }
        Ok(programs)
    }

    /// Gives the names of those that failed. What a program printed is shown when it has ended and all before it are shown.
    fn run_all(&self, programs: &BTreeSet<Program>) -> Result<Vec<String>> {
        let outputs = target_dir().join("test-output");
        fs::create_dir_all(&outputs).with_context(|| outputs.display().to_string())?;
        let in_order: Vec<_> = programs.iter().collect();
        let next = AtomicUsize::new(0);
        let n_threads = self.n_at_a_time()?;
        let mut failed = Vec::new();
        thread::scope(|scope| {
            let (ended, ends) = mpsc::channel();
            for _ in 0..n_threads {
                let (ended, in_order, next, outputs) = (ended.clone(), &in_order, &next, &outputs);
                scope.spawn(move || {
                    while let number = next.fetch_add(1, Ordering::Relaxed)
                        && let Some(program) = in_order.get(number)
                    {
                        let output = outputs.join(format!("{number}.txt"));
                        let end = program.run(self, output);
                        // Nobody listens any more after a failure to start one.
                        if ended.send((number, end)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(ended);
            let mut early: Vec<Option<End>> = in_order.iter().map(|_| None).collect();
            let mut n_shown = 0;
            for (number, end) in ends {
                early[number] = Some(end?);
                while let Some(end) = early.get_mut(n_shown).and_then(Option::take) {
                    let program = in_order[n_shown];
                    program.show(&end)?;
                    if !end.how.is_success() {
                        failed.push(program.title());
                    }
                    n_shown += 1;
                }
            }
            Ok(failed)
        })
    }
}

/// The test program that a message of cargo's tells of, if it does.
fn program(message: &Value) -> Option<Program> {
    let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let executable = message["executable"].as_str().filter(|_| is_test)?;
    let target = &message["target"];
    Some(Program {
        package: Path::new(message["manifest_path"].as_str()?)
            .parent()?
            .into(),
        kind: target["kind"][0].as_str()?.to_owned(),
        name: target["name"].as_str()?.to_owned(),
        executable: executable.into(),
    })
}

impl Program {
    fn title(&self) -> String {
        let package = self.package.strip_prefix(workspace_root());
        let package = package.unwrap_or(&self.package).display();
        format!("{package}, {} {}", self.kind, self.name)
    }

    /// Runs it to its end. What it prints goes to a file, not to a pipe, which what it leaves running would keep open.
    fn run(&self, tests: &Tests, output: PathBuf) -> Result<End> {
        let file = File::create(&output).with_context(|| output.display().to_string())?;
        let mut stacks = file.try_clone()?;
        let words = tests.runner.split_whitespace().map(OsString::from);
        let mut words = words.chain([self.executable.clone().into()]);
        let mut command = Command::new(words.next().context("there is the program at least")?);
        command
            .args(words)
            .current_dir(&self.package)
            .envs(tests.environment.iter().copied())
            .env("CARGO_MANIFEST_DIR", &self.package)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let start = Instant::now();
        let how = watched::run(&mut command, LIMIT, &mut stacks)?;
        Ok(End {
            how,
            time: start.elapsed(),
            output,
        })
    }

    fn show(&self, end: &End) -> Result<()> {
        let output = fs::read(&end.output).with_context(|| end.output.display().to_string())?;
        println!(
            "==> {}: {:.1} s\n{}",
            self.title(),
            end.time.as_secs_f64(),
            String::from_utf8_lossy(&output)
        );
        if !end.how.is_success() {
            println!(
                "==> {}: {}: {}",
                self.title(),
                self.executable.display(),
                end.how
            );
        }
        Ok(())
    }
}
