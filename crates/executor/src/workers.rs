//! Threads for calls that run at the same time as others of their connection.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::run::STACK_SIZE;

/// The most threads of an executor. More calls wait for one.
const MOST_THREADS: usize = 256;

/// How long a thread waits for its next call before it ends.
const IDLE: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() + Send>;

/// Threads that are started when they are needed.
#[derive(Debug, Default)]
pub(crate) struct Workers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    added: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    n_threads: usize,
    n_idle: usize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("n_jobs", &self.jobs.len())
            .field("n_threads", &self.n_threads)
            .field("n_idle", &self.n_idle)
            .finish()
    }
}

impl Workers {
    /// Has a thread do something.
    ///
    /// # Errors
    ///
    /// The system's, when there is no thread and none can be started.
    pub(crate) fn run(&self, job: Job) -> io::Result<()> {
        let mut state = self.0.lock();
        state.jobs.push_back(job);
        if state.n_idle >= state.jobs.len() {
            self.0.added.notify_one();
            return Ok(());
        }
        if state.n_threads == MOST_THREADS {
            return Ok(());
        }
        let shared = Arc::clone(&self.0);
        let started = thread::Builder::new()
            .name("call".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || shared.work());
        match started {
            Ok(_) => state.n_threads += 1,
            // Others take it when they are done.
            Err(_) if state.n_threads > 0 => {}
            Err(error) => {
                state.jobs.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.lock();
                continue;
            }
            state.n_idle += 1;
            let waited = self.added.wait_timeout(state, IDLE);
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = now;
            state.n_idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.n_threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
