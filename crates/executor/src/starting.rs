//! What a module starts with, which may run long after it was loaded, or never.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use farcall_loader::{Module, Start};
use farcall_protocol::Failure;

use crate::failures::loading;

/// Whether a module's constructors have run.
#[derive(Debug)]
pub(crate) struct Starting {
    is_done: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Dormant(Start),
    /// This thread runs them: what they call may use the module.
    Running(ThreadId),
    Done,
}

impl Starting {
    /// Of a module that has started when it was loaded, or has what is given yet to run.
    pub(crate) fn new(start: Option<Start>) -> Self {
        Self {
            is_done: AtomicBool::new(start.is_none()),
            state: Mutex::new(start.map_or(State::Done, State::Dormant)),
            changed: Condvar::new(),
        }
    }

    /// Whether they have.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    /// Whether they have, or this thread runs them.
    pub(crate) fn is_settled(&self) -> bool {
        let this = thread::current().id();
        self.is_done() || matches!(&*self.lock(), State::Running(thread) if *thread == this)
    }

    /// Runs what has not run, or waits for another thread that does.
    pub(crate) fn run(&self, module: &Module) -> Result<(), Failure> {
        let this = thread::current().id();
        let mut state = self.lock();
        loop {
            match &*state {
                State::Done => return Ok(()),
                State::Running(thread) if *thread == this => return Ok(()),
                State::Running(_) => {
                    state = (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
                }
                State::Dormant(_) => break,
            }
        }
        let State::Dormant(start) = std::mem::replace(&mut *state, State::Running(this)) else {
            return Ok(());
        };
        drop(state);
        let started = start.run(module);
        *self.lock() = State::Done;
        self.is_done.store(true, Ordering::Release);
        self.changed.notify_all();
        started.map_err(loading)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
