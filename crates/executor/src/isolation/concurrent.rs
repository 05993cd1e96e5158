//! Calls of one connection that run at the same time, each on a thread that waits for a worker.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use farcall_protocol::{Frame, decode_request};

use super::calling::Within;
use super::front::Front;
use super::pool::lock;
use crate::Result;
use crate::channel::Haste;
use crate::failures::{cancelled, no_thread, too_many};
use crate::peer::MOST_CONCURRENT;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Concurrent {
    /// Those that have not ended; true once they have begun.
    calls: HashMap<u64, bool>,
    /// The bytes of their requests.
    n_bytes: usize,
    /// Those that are not to be begun.
    cancelled: HashSet<u64>,
}

impl Front {
    /// Has a thread of its own make a call.
    pub(super) fn begin(self: &Arc<Self>, id: u64, frame: Frame, haste: Haste) -> Result<()> {
        let size = frame.len();
        let limit = self.shared.options.frame_limit;
        let mut concurrent = lock(&self.concurrent);
        let is_full = concurrent.calls.len() >= MOST_CONCURRENT
            || crate::client::size(concurrent.n_bytes.saturating_add(size)) > limit.into();
        if is_full || concurrent.calls.contains_key(&id) {
            drop(concurrent);
            let what = format!("calls at the same time, or {limit} bytes of their requests,");
            return self.finish(id, Err(too_many(&what, MOST_CONCURRENT)), haste);
        }
        concurrent.calls.insert(id, false);
        concurrent.n_bytes += size;
        drop(concurrent);
        self.channel.begin_beside();
        let front = Arc::clone(self);
        let (start, within) = (Instant::now(), Within::now());
        let call = move || {
            let _within = within.as_ref().map(Within::join);
            let answer = if front.is_to_begin(id) {
                // It was read before.
                decode_request(&frame).map(|(request, _)| front.attempt(&request, start))
            } else {
                Ok(Err(cancelled()))
            };
            drop(frame);
            // Whoever has the answer may use its number again.
            front.forget(id, size);
            if let Ok(answer) = answer {
                // A connection that has failed says so to the thread that reads.
                let _ = front.finish(id, answer, Haste::Now);
            }
            front.channel.end_beside();
        };
        let Err(error) = self.shared.workers.run(Box::new(call)) else {
            return Ok(());
        };
        self.forget(id, size);
        self.channel.end_beside();
        self.finish(id, Err(no_thread(&error)), haste)
    }

    /// Has a call not begin that has not begun yet.
    pub(super) fn cancel(&self, id: u64) {
        // Of those that take their turn it would have been noticed before.
        self.channel.too_late(id);
        let mut concurrent = lock(&self.concurrent);
        if concurrent.calls.get(&id) == Some(&false) {
            concurrent.cancelled.insert(id);
        }
    }

    fn is_to_begin(&self, id: u64) -> bool {
        let mut concurrent = lock(&self.concurrent);
        concurrent.calls.insert(id, true);
        !concurrent.cancelled.remove(&id) && !self.is_over.load(Ordering::Relaxed)
    }

    fn forget(&self, id: u64, size: usize) {
        let mut concurrent = lock(&self.concurrent);
        concurrent.calls.remove(&id);
        concurrent.n_bytes -= size;
    }
}
