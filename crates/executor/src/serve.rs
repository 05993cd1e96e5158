//! What an executor has, for all its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use farcall_image::Machine;
use farcall_protocol::{DEFAULT_FRAME_LIMIT, Hello, Statistics};

use crate::Result;
use crate::modules::Modules;
use crate::peer::Peer;
use crate::transport::Connection;
use crate::workers::Workers;

/// How an executor serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The longest payload of a frame that it takes, in bytes; also the most that the buffers of
    /// one call take.
    pub frame_limit: u32,
    /// The most that the buffers take which one connection has allocated, in bytes.
    pub buffer_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frame_limit: DEFAULT_FRAME_LIMIT,
            buffer_limit: 4 << 30,
        }
    }
}

/// What an executor has loaded, and the way to serve it. Clones share it.
#[derive(Debug, Clone)]
pub struct Service(pub(crate) Arc<Shared>);

/// What the clones of a service share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) modules: Modules,
    pub(crate) options: Options,
    pub(crate) workers: Workers,
    pub(crate) counters: Counters,
}

/// What has been counted since the start.
#[derive(Debug)]
pub(crate) struct Counters {
    start: Instant,
    pub(crate) connections: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) calls: AtomicU64,
    pub(crate) running: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Default for Service {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Service {
    /// A service with nothing loaded.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared {
            modules: Modules::default(),
            options,
            workers: Workers::default(),
            counters: Counters {
                start: Instant::now(),
                connections: AtomicU64::new(0),
                connected: AtomicU64::new(0),
                loads: AtomicU64::new(0),
                calls: AtomicU64::new(0),
                running: AtomicU64::new(0),
                failures: AtomicU64::new(0),
            },
        }))
    }

    /// Serves a connection until the controller ends it. Calls run on this thread, but for those that are to run at the same time as
    /// others.
    ///
    /// # Errors
    ///
    /// When the connection fails, is cut in the middle of a frame, or brings what is not the
    /// protocol. The service goes on for other connections.
    pub fn serve(&self, connection: Connection) -> Result<()> {
        Peer::serve(&self.0, connection)
    }

    /// Unloads all modules that are not in a call, newest first, running their destructors.
    pub fn unload_all(&self) {
        self.0.modules.unload_all();
    }
}

impl Shared {
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            software: concat!("farcall ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: Machine::host().map_or("", Machine::name).to_owned(),
            features: farcall_loader::cpu::features().bits(),
            frame_limit: self.options.frame_limit,
            modules: self.modules.announced(),
        }
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters {
            start,
            connections,
            connected,
            loads,
            calls,
            running,
            failures,
        } = &self.counters;
        let (modules, image_bytes) = self.modules.totals();
        Statistics {
            uptime: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            connections: of(connections),
            connected: of(connected),
            loads: of(loads),
            modules,
            image_bytes,
            calls: of(calls),
            running: of(running),
            failures: of(failures),
        }
    }
}

/// Counts one more as long as it lives.
pub(crate) struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    pub(crate) fn new(now: &'a AtomicU64) -> Self {
        now.fetch_add(1, Ordering::Relaxed);
        Self(now)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
