//! Keeping workers ready, and ending those that are of no use.

use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::pool::{Worker, lock};
use super::supervisor::{RESTART, Supervisor};

/// How often it is looked whether a call takes too long, at most.
const TICK: Duration = Duration::from_millis(5);

/// How often it is looked whether somebody is there for whom a worker does what it does.
const LOOK: Duration = Duration::from_secs(1);

/// How long a worker may take to end that nobody wants any more.
const LEAVING: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Has a worker end that nobody uses any more.
    pub(super) fn dismiss(&self, worker: Arc<Worker>) {
        if !worker.has_ended() {
            // Upon that it unloads what it has, and ends.
            worker.close();
            lock(&self.state).leaving.push((Instant::now(), worker));
        }
    }

    /// Waits for workers that were dismissed: they unload what they have, which runs destructors.
    pub(crate) fn let_workers_end(&self) {
        let start = Instant::now();
        let mut state = lock(&self.state);
        while !state.leaving.is_empty() && start.elapsed() < LEAVING {
            let waited = self.changed.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Keeps workers ready. Gives whether there is more to do.
    fn keep_ready(self: &Arc<Self>) -> bool {
        let mut state = lock(&self.state);
        if state.has_stopped {
            return false;
        }
        let most = self.options.most_workers;
        if state.ready.len() >= self.options.ready || state.n_workers >= most {
            let _ = self.changed.wait_timeout(state, LOOK);
            return true;
        }
        state.n_workers += 1;
        drop(state);
        match self.fork() {
            Ok(worker) => lock(&self.state).ready.push(worker),
            Err(_) if lock(&self.state).has_stopped => return false,
            Err(failure) => {
                tracing::warn!("{failure}");
                thread::sleep(RESTART);
            }
        }
        self.changed.notify_all();
        true
    }

    /// Ends what takes too long, and what is done for nobody. Gives whether there is more to do. It waits for no process.
    fn end_overdue(self: &Arc<Self>) -> bool {
        let mut state = lock(&self.state);
        if state.has_stopped {
            return false;
        }
        let all: Vec<_> = state.workers.values().cloned().collect();
        state.leaving.retain(|(since, worker)| {
            if since.elapsed() > LEAVING {
                worker.kill();
            }
            !worker.has_ended() && since.elapsed() < 2 * LEAVING
        });
        let looks = state.looked.is_none_or(|then| then.elapsed() >= LOOK);
        if looks {
            state.looked = Some(Instant::now());
        }
        drop(state);
        if let Some(deadline) = self.options.deadline {
            all.iter().for_each(|worker| worker.end_if_late(deadline));
        }
        if looks {
            all.iter().for_each(|worker| worker.end_if_abandoned());
            self.overseen.look();
        }
        let state = lock(&self.state);
        let is_idle = self.options.deadline.is_none() && state.leaving.is_empty();
        let tick = if is_idle { LOOK } else { TICK };
        let _ = self.changed.wait_timeout(state, tick);
        true
    }
}

/// What threads do again and again: starting a worker waits for the template, and what has to end does not.
pub(super) const TASKS: [(&str, Task); 2] = [
    ("workers", Supervisor::keep_ready),
    ("deadlines", Supervisor::end_overdue),
];

type Task = fn(&Arc<Supervisor>) -> bool;

pub(super) fn repeat(supervisor: &Weak<Supervisor>, task: Task) {
    while let Some(supervisor) = supervisor.upgrade() {
        if !task(&supervisor) {
            return;
        }
    }
}
