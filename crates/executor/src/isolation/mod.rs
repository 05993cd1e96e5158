//! Shipped code in processes of its own.
//!
//! ```text
//! controller ── supervisor ── worker        runs shipped code for one session, or one call
//!                    │          ╎ forked off
//!                    └───── template        has everything loaded, and runs none of it
//! ```
//!
//! The *supervisor* is the executor's process: it takes connections, keeps images, and runs nothing of them. The *template* loads each
//! image once, without running its constructors. *Workers* are forked off the template, so that they have all modules at once and share their memory
//! with it as long as they do not write to it. A worker starts a module when it first uses it. What a worker does to itself is
//! its end, and nobody else's.

mod advance;
mod blame;
mod calling;
mod change;
mod concurrent;
mod crash;
mod defining;
mod front;
mod limits;
mod load;
mod output;
mod overseen;
mod pool;
mod report;
mod sandbox;
mod spaces;
mod supervisor;
mod system;
mod template;
mod tending;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use template::run_template;

pub(crate) use front::Front;
pub(crate) use limits::Limits;
pub(crate) use supervisor::Supervisor;
pub(crate) use system::{flush_output, prepare_worker_thread, remember_module};
pub(crate) use template::Template;

/// How shipped code is kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// The program that is started as template, with its arguments: one that calls [`run_template`] then.
    pub program: (PathBuf, Vec<OsString>),
    /// How long a worker is kept.
    pub keep: Keep,
    /// How many workers are started before they are needed.
    pub ready: usize,
    /// The most workers at the same time.
    pub most_workers: usize,
    /// How long a call may take.
    pub deadline: Option<Duration>,
    /// How much memory a worker may take beyond what it starts with, in bytes.
    pub memory: Option<u64>,
    /// Whether workers are kept from files, the network and other processes, as far as the kernel has means for that.
    pub sandbox: bool,
    /// After how many crashes an image is refused; 0 for never.
    pub quarantine: u32,
}

/// How long a worker is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// As long as the connection whose calls it runs: what they leave in variables stays.
    #[default]
    Session,
    /// For one call: the next finds everything as it was loaded.
    Call,
}

impl Isolation {
    /// Workers for sessions, two of them ready, in a sandbox and with no other limits, from a template that is this program started with `arguments`.
    #[must_use]
    pub fn with_template(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self {
            program: (program, arguments),
            keep: Keep::default(),
            ready: 2,
            most_workers: 256,
            deadline: None,
            memory: None,
            sandbox: true,
            quarantine: 0,
        }
    }
}
