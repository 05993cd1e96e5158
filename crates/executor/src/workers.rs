//! Threads for calls that run at the same time as others of their connection.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::isolation;
use crate::run::STACK_SIZE;

/// The most threads of an executor. More calls wait for one.
const MOST_THREADS: usize = 256;

/// How long a thread waits for its next call before it ends.
const IDLE: Duration = Duration::from_secs(5);

thread_local! {
    /// The workers that this thread is one of, by their address; null when it is none, or is away.
    static OF: Cell<*const Shared> = const { Cell::new(ptr::null()) };
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that are started when they are needed.
#[derive(Debug, Clone)]
pub(crate) struct Workers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    added: Condvar,
    most_threads: usize,
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

impl Default for Workers {
    fn default() -> Self {
        Self::at_most(MOST_THREADS)
    }
}

impl Workers {
    /// No more threads than these: what is to do waits for one.
    pub(crate) fn at_most(most_threads: usize) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            added: Condvar::new(),
            most_threads,
        }))
    }

    /// Has a thread do something.
    ///
    /// # Errors
    ///
    /// The system's, when there is no thread and none can be started.
    pub(crate) fn run(&self, job: Job) -> io::Result<()> {
        let mut state = self.0.lock();
        state.jobs.push_back(job);
        let started = self.start(&mut state);
        if started.is_err() {
            state.jobs.pop_back();
        }
        started
    }

    /// Waits for somebody else. If this thread is one of these, another one may be there instead meanwhile, so that calls
    /// that wait for other calls do not wait for ever.
    pub(crate) fn while_away<T>(&self, wait: impl FnOnce() -> T) -> T {
        if OF.get() != Arc::as_ptr(&self.0) {
            return wait();
        }
        let mut state = self.0.lock();
        state.n_threads -= 1;
        // Without one they wait until another is done.
        let _ = self.start(&mut state);
        drop(state);
        // It is away once, also when it waits again for what it does meanwhile.
        let of = OF.replace(ptr::null());
        let waited = wait();
        OF.set(of);
        self.0.lock().n_threads += 1;
        waited
    }

    /// Sees to it that somebody comes for what was pushed last.
    fn start(&self, state: &mut State) -> io::Result<()> {
        if state.n_idle >= state.jobs.len() {
            self.0.added.notify_one();
            return Ok(());
        }
        if state.n_threads >= self.0.most_threads {
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
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Shared {
    fn work(&self) {
        isolation::prepare_worker_thread();
        OF.set(self);
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
