//! Exiting while threads compile.
//!
//! LLVM's destructors run when the process exits, and what they destroy is used by threads that compile at that moment, in the
//! background maybe: the process would crash at its end. So exiting waits for what is being compiled, and nothing more is begun.

use std::cell::Cell;
use std::process;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::llvm;

struct Running {
    /// A forked child has none of its parent's threads.
    process: u32,
    /// How many threads are in LLVM.
    n_threads: usize,
    n_jobs: u64,
    is_exiting: bool,
}

static RUNNING: Mutex<Running> = Mutex::new(Running {
    process: 0,
    n_threads: 0,
    n_jobs: 0,
    is_exiting: false,
});
static LEFT: Condvar = Condvar::new();

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// That this thread is in LLVM, until it is dropped.
pub(crate) struct Inside(());

/// Begins a job; never returns when the process is about to end.
pub(crate) fn enter() -> Inside {
    let mut running = running();
    if running.is_exiting {
        drop(running);
        loop {
            thread::park();
        }
    }
    running.n_threads += 1;
    running.n_jobs += 1;
    // LLVM makes things when they are first used, and destroys them before what was registered earlier: so this is
    // registered again and again, and less and less often.
    let is_registered = !running.n_jobs.is_power_of_two();
    drop(running);
    IS_INSIDE.set(true);
    if !is_registered {
        llvm::at_exit(wait_for_threads);
    }
    Inside(())
}

impl Drop for Inside {
    fn drop(&mut self) {
        leave();
    }
}

/// Ends a job that has no end of its own.
pub(crate) fn leave() {
    if IS_INSIDE.replace(false) {
        let mut running = running();
        running.n_threads = running.n_threads.saturating_sub(1);
        drop(running);
        LEFT.notify_all();
    }
}

extern "C" fn wait_for_threads() {
    // A thread that exits in the middle of a job would wait for itself.
    let own = usize::from(IS_INSIDE.get());
    let mut running = running();
    running.is_exiting = true;
    while running.n_threads > own {
        running = LEFT.wait(running).unwrap_or_else(PoisonError::into_inner);
    }
}

fn running() -> MutexGuard<'static, Running> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let process = process::id();
    if running.process != process {
        *running = Running {
            process,
            n_threads: 0,
            n_jobs: 0,
            is_exiting: false,
        };
    }
    running
}
