//! Whole processes: from the start of the controller to the end of it, with the first result.

use std::env;
use std::process::{Command, Stdio};
use std::time::Instant;

use farcall_benches::{Bar, Row};
use farcall_testkit::tools;

use super::split;
use crate::artefacts::{Artefacts, executor};

const ROUNDS: usize = 30;

/// What makes `llvm-jitlink` fastest, of what it can be told to do or leave out.
const QUICK: [&str; 2] = ["-use-memmgr=shared", "-debugger-support=false"];

pub(crate) fn start(artefacts: &Artefacts) -> Vec<Row> {
    let mut all = [
        ("farcall", farcall(artefacts)),
        ("llvm-jitlink", jitlink(artefacts, &[])),
        ("jitlink, tuned", jitlink(artefacts, &QUICK)),
    ]
    .map(|(name, command)| (name, command, Vec::new()));
    for (_, command, _) in &mut all {
        check(command);
    }
    for _ in 0..ROUNDS {
        for (_, command, samples) in &mut all {
            samples.push(run(command));
        }
    }
    let (ours, others) = split(all.map(|(name, _, samples)| (name, samples)));
    let title = "Lua's \"hello\", process start → first result";
    let bar = Some(Bar::AtMost(1.0 / 6.0));
    vec![Row::new(title, ours, others, bar)]
}

fn farcall(artefacts: &Artefacts) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg("first").arg(executor());
    command.arg(artefacts.lua_image()).arg(artefacts.script());
    command
}

fn jitlink(artefacts: &Artefacts, options: &[&str]) -> Command {
    let mut command = Command::new(tools::find("llvm-jitlink-22").unwrap());
    command.arg("-oop-executor").args(options);
    command.args(artefacts.lua_objects());
    command.args(["-args", "lua"]).arg(artefacts.script());
    command
}

/// Runs it until its executor has ended too, and looks at what that wrote, to whichever of its outputs.
fn check(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    let written = [output.stdout, output.stderr].concat();
    // Before it farcall's says that it loads what is unsigned.
    assert!(written.ends_with(b"hello\n"), "{command:?}: {written:?}");
}

/// The time until the controller has ended. Its executor may end later.
fn run(command: &mut Command) -> f64 {
    let command = command.stdin(Stdio::null());
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap();
    let time = start.elapsed().as_nanos() as f64;
    assert!(status.success(), "{command:?}: {status}");
    time
}
