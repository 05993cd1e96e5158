//! A contender's process, started as one way to load a subject.

use std::env;
use std::process::Command;

use farcall_benches::{Child, Subject};

use crate::artefacts::Artefacts;
use crate::way::Way;

/// A process that loads a subject in one way. `farcall_benches::serve` has the list of requests.
pub(crate) fn start(artefacts: &Artefacts, way: Way, subject: Subject) -> Child {
    let mut command = if way == Way::JitLink {
        Command::new(env!("CARGO_BIN_EXE_farcall-bench-jitlink"))
    } else {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["serve", way.name()]);
        command
    };
    command
        .arg(subject.name())
        .arg(artefacts.file(way, subject));
    Child::start(&mut command)
}
