//! The measurements, one group of rows a file.

mod cache;
mod processes;
mod run;
mod sqlite;
mod thousand;
mod tiny;

use std::env;
use std::process::Command;

use farcall_benches::{Child, Work};

pub(crate) use cache::cache;
pub(crate) use processes::processes;
pub(crate) use run::run;
pub(crate) use sqlite::sqlite;
pub(crate) use thousand::thousand;
pub(crate) use tiny::tiny;

use crate::artefacts::Artefacts;

/// A process that compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Farcall,
    /// LLJIT with so many threads of its own.
    LlJit(u32),
}

const LLJIT: &str = "LLJIT";
const LLJIT_THREADS: &str = "LLJIT, 2 threads";

impl Contender {
    fn start(self, work: Work, artefacts: &Artefacts) -> Child {
        let mut command = match self {
            Self::Farcall => {
                let mut command = Command::new(env::current_exe().unwrap());
                command.args(["serve", work.name()]);
                command
            }
            Self::LlJit(n_threads) => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_farcall-bench-lljit"));
                command.args([work.name(), &n_threads.to_string()]);
                command
            }
        };
        Child::start(command.arg(artefacts.folder()))
    }
}

/// What work is, in a row's title.
fn title(work: Work) -> &'static str {
    match work {
        Work::Quick => "O0",
        Work::Generate => "O2, code generation alone",
        Work::Optimize => "O2, optimized by both",
    }
}
