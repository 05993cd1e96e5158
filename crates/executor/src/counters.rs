//! What an executor counts, for those who operate it.
//!
//! A call costs four additions to words that nobody locks, and one look at the clock besides that which says whether it was quick. How many calls run is not counted: it
//! is how many have begun and not ended. Bytes are each connection's own, and are added up when somebody asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farcall_protocol::{ErrorKind, Failure, Latency, Response, Statistics};

use crate::memory::number;
use crate::peer::QUICK;
use crate::serve::Shared;

/// What has been counted since the start.
#[derive(Debug)]
pub(crate) struct Counters {
    start: Instant,
    /// Of all that are served, greeted or not.
    pub(crate) open: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) connected: AtomicU64,
    hits: AtomicU64,
    failed_loads: AtomicU64,
    passed: AtomicU64,
    calls: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
    quarantined: AtomicU64,
    not_served: AtomicU64,
    calling: Times,
    loading: Times,
    meters: Mutex<Meters>,
}

/// How long something took.
#[derive(Debug, Default)]
pub(crate) struct Times {
    buckets: [AtomicU64; Latency::N_BUCKETS],
    sum: AtomicU64,
}

/// What goes over one connection, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) sent: AtomicU64,
    /// Only whoever reads changes it.
    pub(crate) received: AtomicU64,
}

#[derive(Debug, Default)]
struct Meters {
    open: Vec<Arc<Meter>>,
    /// Of connections that have ended.
    sent: u64,
    received: u64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            open: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            connected: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            failed_loads: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            quarantined: AtomicU64::new(0),
            not_served: AtomicU64::new(0),
            calling: Times::default(),
            loading: Times::default(),
            meters: Mutex::default(),
        }
    }

    /// Counts a call, of a request that was read at `start`, and how long it takes until what this gives is dropped.
    pub(crate) fn call(&self, start: Instant) -> Running<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Running {
            counters: self,
            start,
            is_quick: None,
        }
    }

    /// Counts a load, of a request that was read at `start`.
    pub(crate) fn load(&self, start: Instant, loaded: &Result<Response, Failure>) {
        match loaded {
            Ok(Response::Loaded { was_loaded: false }) => self.loading.add(start.elapsed()),
            Ok(Response::Loaded { was_loaded: true }) => count(&self.hits),
            // It was only offered.
            Ok(_) => {}
            Err(_) => count(&self.failed_loads),
        }
    }

    /// Counts the bytes of an image that came in a file.
    pub(crate) fn pass(&self, n_bytes: usize) {
        self.passed.fetch_add(number(n_bytes), Ordering::Relaxed);
    }

    /// Counts a request that has failed.
    pub(crate) fn fail(&self, failure: &Failure) {
        count(&self.failures);
        match failure.kind {
            ErrorKind::Refused => count(&self.refused),
            ErrorKind::Quarantined => count(&self.quarantined),
            _ => {}
        }
    }

    /// Counts a request that has failed elsewhere.
    pub(crate) fn fail_elsewhere(&self) {
        count(&self.failures);
    }

    /// Counts a connection that is not served.
    pub(crate) fn turn_away(&self) {
        count(&self.not_served);
    }

    /// All of it. What there is now of modules and workers others know.
    pub(crate) fn read(&self) -> Statistics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (sent, received) = self.traffic();
        // In this order no call has ended that has not begun.
        let calling = self.calling.read();
        let calls = of(&self.calls);
        let loading = self.loading.read();
        Statistics {
            uptime: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            connections: of(&self.connections),
            connected: of(&self.connected),
            loads: loading.count(),
            calls,
            running: calls.saturating_sub(calling.count()),
            failures: of(&self.failures),
            hits: of(&self.hits),
            failed_loads: of(&self.failed_loads),
            received,
            sent,
            passed: of(&self.passed),
            refused: of(&self.refused),
            quarantined: of(&self.quarantined),
            not_served: of(&self.not_served),
            calling,
            loading,
            ..Statistics::default()
        }
    }

    fn traffic(&self) -> (u64, u64) {
        let meters = self.meters();
        let start = (meters.sent, meters.received);
        meters.open.iter().fold(start, |(sent, received), meter| {
            let (also_sent, also_received) = meter.read();
            (sent + also_sent, received + also_received)
        })
    }

    fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    /// Bytes sent and received.
    pub(crate) fn read(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.sent), of(&self.received))
    }
}

/// Adds a connection's meter to the others as long as it lives, and what it says at the end.
#[derive(Debug)]
pub(crate) struct Metered {
    shared: Arc<Shared>,
    meter: Arc<Meter>,
}

impl Metered {
    pub(crate) fn new(shared: &Arc<Shared>, meter: &Arc<Meter>) -> Self {
        shared.counters.meters().open.push(Arc::clone(meter));
        Self {
            shared: Arc::clone(shared),
            meter: Arc::clone(meter),
        }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let mut meters = self.shared.counters.meters();
        let mut open = meters.open.iter();
        if let Some(at) = open.position(|it| Arc::ptr_eq(it, &self.meter)) {
            let (sent, received) = meters.open.swap_remove(at).read();
            meters.sent += sent;
            meters.received += received;
        }
    }
}

impl Times {
    pub(crate) fn add(&self, time: Duration) {
        count(&self.buckets[Latency::bucket_of(time)]);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    fn read(&self) -> Latency {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Latency {
            buckets: std::array::from_fn(|n| of(&self.buckets[n])),
            sum: of(&self.sum),
        }
    }
}

/// A call that runs as long as this lives.
pub(crate) struct Running<'a> {
    counters: &'a Counters,
    start: Instant,
    /// Is told whether it was quick.
    pub(crate) is_quick: Option<&'a AtomicBool>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let time = self.start.elapsed();
        self.counters.calling.add(time);
        if let Some(is_quick) = self.is_quick {
            is_quick.store(time < QUICK, Ordering::Relaxed);
        }
    }
}

/// Counts one more as long as it lives.
pub(crate) struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    pub(crate) fn new(now: &'a AtomicU64) -> Self {
        count(now);
        Self(now)
    }

    /// Counts one more unless there are as many already.
    pub(crate) fn within(now: &'a AtomicU64, most: usize) -> Option<Self> {
        let n_before = now.fetch_add(1, Ordering::Relaxed);
        let counted = Self(now);
        (n_before < number(most)).then_some(counted)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
