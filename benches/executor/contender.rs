//! The contenders' processes.

use std::env;
use std::process::Command;

use farcall_benches::{Child, Subject};

use crate::artefacts::{Artefacts, executor, orc_executor};

/// A controller with its executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Farcall,
    /// The same, with the image's bytes in a file in memory.
    FarcallFile,
    /// The same with frames that go through shared memory.
    FarcallShared,
    /// The same with calls that run in a process of their own.
    FarcallWorkers,
    /// ORC with memory that both processes map.
    OrcShared,
    /// ORC with memory that it fills through the socket.
    OrcCopied,
    /// The same with threads of its own, which is how `llvm-jitlink` sets it up.
    OrcThreads,
    /// ORC, and a function of the kind that it calls itself in place of the subject's.
    OrcWrapper,
}

impl Contender {
    /// Those that load what the subject is, farcall first.
    pub(crate) const LOADING: [Self; 4] = [
        Self::Farcall,
        Self::OrcShared,
        Self::OrcCopied,
        Self::OrcThreads,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Farcall => "farcall",
            Self::FarcallFile => "farcall, from a file in memory",
            Self::FarcallShared => "farcall, shared",
            Self::FarcallWorkers => "farcall, in a worker",
            Self::OrcShared => "ORC, shared",
            Self::OrcCopied => "ORC, copied",
            Self::OrcThreads => "ORC, threads",
            Self::OrcWrapper => "ORC, wrapper",
        }
    }

    /// The processes; `farcall_benches::serve_remote` has the list of requests.
    pub(crate) fn start(self, artefacts: &Artefacts, subject: Subject) -> Child {
        let object = artefacts.object(subject);
        let (way, file) = match self {
            Self::Farcall => return farcall("socket", artefacts, subject),
            Self::FarcallFile => return farcall("file", artefacts, subject),
            Self::FarcallShared => return farcall("shared", artefacts, subject),
            Self::FarcallWorkers => return farcall("workers", artefacts, subject),
            Self::OrcShared => ("shared", object),
            Self::OrcCopied => ("copied", object),
            Self::OrcThreads => ("threads", object),
            Self::OrcWrapper => ("wrapper", artefacts.wrapper()),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_farcall-bench-remote"));
        command.arg(way).arg(orc_executor()).arg(subject.name());
        Child::start(command.arg(file))
    }
}

fn farcall(frames: &str, artefacts: &Artefacts, subject: Subject) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["serve", frames]).arg(executor());
    command.arg(subject.name());
    Child::start(command.arg(artefacts.image(subject)))
}
