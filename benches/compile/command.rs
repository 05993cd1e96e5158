//! Whole processes: how long they take.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use farcall_testkit::paths::target_dir;

/// What a process took, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) wall: f64,
    /// Processor time outside of the system.
    pub(crate) user: f64,
}

/// The command `farcall`, as it was built last for release.
pub(crate) fn farcall() -> Command {
    let path: PathBuf = target_dir().join("release/farcall");
    assert!(
        path.exists(),
        "{}: build it: cargo build --release --package farcall-cli",
        path.display()
    );
    Command::new(path)
}

/// Runs a process to its end, which has to be a good one, and lets its output go.
#[expect(clippy::zombie_processes, reason = "`wait4` waits for it")]
pub(crate) fn run(command: &mut Command) -> Took {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let process = command.spawn().unwrap();
    let pid = process.id().cast_signed();
    // SAFETY: all fields are numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    // SAFETY: there is room for both results, and nobody else waits for this process.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    let wall = start.elapsed().as_nanos() as f64;
    assert_eq!((waited, status), (pid, 0), "{command:?}");
    let user = usage.ru_utime.tv_sec as f64 * 1e9 + usage.ru_utime.tv_usec as f64 * 1e3;
    Took { wall, user }
}
