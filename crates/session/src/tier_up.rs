//! Compiling again, in the background, what was compiled to run early.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};

use crate::build::{Source, Tier};
use crate::code::lock;
use crate::materialize::materialize;
use crate::session::Shared;
use crate::state::{Part, PartId, Phase};

/// The thread that does it, once there is something to do. It ends with the session.
#[derive(Default)]
pub(crate) struct TierUp {
    worker: Mutex<Option<Worker>>,
    has_ended: AtomicBool,
}

struct Worker {
    queue: Sender<PartId>,
    thread: Option<JoinHandle<()>>,
}

impl TierUp {
    /// Has a part compiled once more, at the session's level.
    pub(crate) fn queue(&self, shared: &Arc<Shared>, part: PartId) {
        let mut worker = lock(&self.worker);
        if self.has_ended.load(Ordering::Relaxed) {
            return;
        }
        let worker = worker.get_or_insert_with(|| start(Arc::downgrade(shared)));
        if worker.queue.send(part).is_err() {
            tracing::warn!("there is no thread that optimizes: code stays as it is");
        }
    }

    /// Waits for what is being compiled, and has nothing more compiled.
    pub(crate) fn end(&self) {
        let worker = {
            let mut worker = lock(&self.worker);
            self.has_ended.store(true, Ordering::Relaxed);
            worker.take()
        };
        let Some(Worker { queue, thread }) = worker else {
            return;
        };
        drop(queue);
        if let Some(thread) = thread.filter(|it| it.thread().id() != thread::current().id()) {
            // It has said what went wrong.
            let _ = thread.join();
        }
    }
}

fn start(shared: Weak<Shared>) -> Worker {
    let (queue, parts) = mpsc::channel();
    let work = move || {
        for part in parts {
            match shared.upgrade() {
                Some(shared) if !shared.tier_up.has_ended.load(Ordering::Relaxed) => {
                    improve(&shared, part);
                }
                _ => return,
            }
        }
    };
    let thread = thread::Builder::new().name("farcall-tier-up".to_owned());
    // Without it the channel is closed, which who sends is told.
    let thread = thread.spawn(work).ok();
    Worker { queue, thread }
}

/// Compiles a part once more. Then its stubs lead to that; who is in the code before goes on there.
fn improve(shared: &Arc<Shared>, first: PartId) {
    let (part, name) = {
        let mut state = shared.state();
        let part = state.next_part();
        // It may have been removed.
        let Some(first) = state.parts.get(&first) else {
            return;
        };
        let Source::Divided {
            divided,
            part: number,
            tier: Tier::First,
        } = &first.source
        else {
            return;
        };
        let name = Arc::clone(&first.name);
        let unit = first.unit;
        let better = Part {
            unit,
            code: Arc::clone(&first.code),
            name: Arc::clone(&name),
            source: Source::Divided {
                divided: divided.clone(),
                part: *number,
                tier: Tier::Last,
            },
            phase: Phase::Added,
            after: first.after,
            stubs: Arc::clone(&first.stubs),
            uses: Default::default(),
            is_loading: false,
            failure: None,
        };
        state.parts.insert(part, better);
        if let Some(unit) = state.units.get_mut(&unit) {
            unit.parts.push(part);
        }
        (part, name)
    };
    if let Err(error) = materialize(shared, &[part]) {
        tracing::warn!(%name, %error, "not optimized: its code stays as it is");
        let mut state = shared.state();
        let failed = state.parts.remove(&part);
        if let Some(unit) = failed.as_ref().and_then(|it| state.units.get_mut(&it.unit)) {
            unit.parts.retain(|id| *id != part);
        }
        drop(state);
    }
}

impl fmt::Debug for TierUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TierUp")
    }
}
