//! How fast the code is that was made.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use farcall_benches::{Bar, Row};
use farcall_testkit::{Level, Program, real, tools};

use crate::artefacts::{Artefacts, for_passes};
use crate::command;

const ROUNDS: usize = 7;
/// Rows of the workload's tables.
const N_ROWS: &str = "700000";

pub(crate) fn run(artefacts: &Artefacts) -> Vec<Row> {
    let script = artefacts.script();
    vec![
        one(artefacts, "SQLite", &real::sqlite_main().unwrap(), N_ROWS),
        one(artefacts, "Lua", &real::lua().unwrap(), &script),
    ]
}

/// User time of a program, beside clang's executable of the same.
fn one(artefacts: &Artefacts, name: &str, program: &Program, argument: impl AsRef<OsStr>) -> Row {
    let image = artefacts.folder().join(name);
    build(program, &image);
    let native = program.executable(Level::O2).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut farcall = command::farcall();
        farcall.arg("run").arg(&image).arg("--");
        ours.push(command::run(farcall.arg(argument.as_ref())).user);
        theirs.push(command::run(tools::start(&native).arg(argument.as_ref())).user);
    }
    let title = format!("{name} runs a workload, user time");
    let others = vec![("clang, native", theirs)];
    Row::new(title, ours, others, Some(Bar::Same(0.02)))
}

fn build(program: &Program, image: &Path) {
    let mut farcall: Command = command::farcall();
    farcall.env("FARCALL_CACHE", "off").arg("build");
    command::run(
        farcall
            .args(for_passes(program.clone()))
            .arg("-o")
            .arg(image),
    );
}
