//! What an executor has, for all its connections.

use std::sync::Arc;
use std::time::Duration;

use farcall_image::Machine;
use farcall_protocol::{DEFAULT_FRAME_LIMIT, Hello, MAX_ANNOUNCED_MODULES, Statistics};

use crate::audit::Audit;
use crate::connections::{Connections, Running};
use crate::counters::Counters;
use crate::dock::Spare;
use crate::isolation::{Front, Isolation, Supervisor, Template};
use crate::modules::Modules;
use crate::peer::Peer;
use crate::transport::Connection;
use crate::workers::Workers;
use crate::{Error, Result, Timeouts, Trust};

/// How an executor serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The longest payload of a frame that it takes, in bytes; also the most that the buffers of
    /// one call take.
    pub frame_limit: u32,
    /// The most that the buffers take which one connection has allocated, in bytes.
    pub buffer_limit: u64,
    /// How long it waits for controllers: their hello has to be there within the greeting's time, all of it, but on streams that are neither sockets nor
    /// pipes, of which nobody can tell whether something comes. On TCP [`run`](crate::run) alone heeds the silence, as
    /// what else makes connections says it to [`Connection::tcp_with`].
    pub timeouts: Timeouts,
    /// The most connections that it serves at a time. The next one is told so and closed.
    pub connection_limit: usize,
    /// How long a controller on a socket may read nothing when an answer is to be sent to it. A connection that is in a call, or whose
    /// controller asks for nothing, may stay as long as it likes.
    pub unread_time: Duration,
    /// How long [`run`](crate::run) waits, when it stops, for what was asked before.
    pub stop_time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frame_limit: DEFAULT_FRAME_LIMIT,
            buffer_limit: 4 << 30,
            timeouts: Timeouts::default(),
            // Fewer than the files that a process may usually have open.
            connection_limit: 512,
            unread_time: Duration::from_secs(300),
            stop_time: Duration::from_secs(30),
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
    pub(crate) spare: Spare,
    /// What it has as a template of workers.
    pub(crate) template: Option<Template>,
    /// What it has when calls run in workers.
    pub(crate) supervisor: Option<Arc<Supervisor>>,
    pub(crate) counters: Counters,
    pub(crate) connections: Connections,
}

impl Default for Service {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Service {
    /// A service with nothing loaded, which loads everybody's images.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let modules = Modules::default();
        Self::with(options, modules, Workers::default(), None, None)
    }

    /// A service whose calls run in workers, which loads everybody's images.
    ///
    /// # Errors
    ///
    /// [`crate::Error::System`] when the template cannot be started, and others when it is none.
    pub fn isolated(options: Options, isolation: Isolation) -> Result<Self> {
        Self::trusting(options, Some(isolation), Trust::Unsigned)
    }

    /// A service with nothing loaded, which loads the images that `trust` says. Calls run in workers if `isolation` says how.
    ///
    /// # Errors
    ///
    /// As [`Service::isolated`]; none without workers.
    pub fn trusting(options: Options, isolation: Option<Isolation>, trust: Trust) -> Result<Self> {
        Self::audited(options, isolation, trust, Audit::default())
    }

    /// As [`Service::trusting`], and keeps in `audit` whose images were loaded and refused.
    ///
    /// # Errors
    ///
    /// As [`Service::isolated`]; none without workers.
    pub fn audited(
        options: Options,
        isolation: Option<Isolation>,
        trust: Trust,
        audit: Audit,
    ) -> Result<Self> {
        let threads = Workers::default();
        let supervisor = isolation
            .map(|isolation| Supervisor::start(isolation, threads.clone()))
            .transpose()?;
        let modules = Modules::new(trust, audit);
        Ok(Self::with(options, modules, threads, None, supervisor))
    }

    pub(crate) fn with_template(options: Options, template: Template) -> Self {
        let modules = Modules::default();
        Self::with(options, modules, Workers::default(), Some(template), None)
    }

    fn with(
        options: Options,
        modules: Modules,
        workers: Workers,
        template: Option<Template>,
        supervisor: Option<Arc<Supervisor>>,
    ) -> Self {
        Self(Arc::new(Shared {
            template,
            supervisor,
            modules,
            options,
            workers,
            spare: Spare::default(),
            connections: Connections::default(),
            counters: Counters::new(),
        }))
    }

    /// Serves a connection until the controller ends it. Calls run on this thread, but for those that are to run at the same time as
    /// others.
    ///
    /// # Errors
    ///
    /// When the connection fails, is cut in the middle of a frame, brings what is not the
    /// protocol, takes longer than it may, or is one too many. The service goes on for other connections.
    pub fn serve(&self, connection: Connection) -> Result<()> {
        let served = match &self.0.supervisor {
            Some(supervisor) => Front::serve(&self.0, supervisor, connection),
            None => Peer::serve(&self.0, connection),
        };
        if let Err(Error::NoHello) = served {
            self.0.counters.turn_away();
        }
        served
    }

    /// Stops serving: what has been asked for so far is done and answered, what is asked for from now on fails with [`ErrorKind::Stopping`], but for
    /// what a call asks its controller for and is asked for meanwhile. A connection for which nothing is to be done any more is told so and
    /// closed. Waits for all that, or for as long as `most`.
    ///
    /// Of the requests that a connection has sent, those are done that have been read by then, or can be read now: up to 512 or 1 MiB of them beside the one that is being done.
    /// Controllers on other machines have half a second to end their side.
    ///
    /// [`ErrorKind::Stopping`]: crate::ErrorKind::Stopping
    ///
    /// # Errors
    ///
    /// What has not ended after this time; nothing when it is a controller only that does not read its answers.
    pub fn stop(&self, most: Duration) -> Result<(), Vec<Running>> {
        self.0.connections.stop(most, &self.0.workers)
    }

    /// Unloads all modules that are not in a call, newest first, running their destructors.
    pub fn unload_all(&self) {
        self.0.modules.unload_all();
        if let Some(supervisor) = &self.0.supervisor {
            supervisor.let_workers_end();
            supervisor.stop();
        }
    }

    /// Ends all workers, whatever they do.
    pub(crate) fn end_workers(&self) {
        if let Some(supervisor) = &self.0.supervisor {
            supervisor.stop();
        }
    }
}

impl Shared {
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            modules: match &self.supervisor {
                Some(supervisor) => supervisor.announced(MAX_ANNOUNCED_MODULES),
                None => self.modules.announced(),
            },
            ..self.short_hello()
        }
    }

    /// Without what is loaded: for whom nothing is done.
    pub(crate) fn short_hello(&self) -> Hello {
        Hello {
            software: concat!("farcall ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: Machine::host().map_or("", Machine::name).to_owned(),
            features: farcall_loader::cpu::features().bits(),
            frame_limit: self.options.frame_limit,
            docks: self.docks(),
            modules: Vec::new(),
        }
    }

    /// Whether images come through memory: whoever can connect can do anything in this process, and so need not prove anything.
    pub(crate) fn docks(&self) -> bool {
        self.supervisor.is_none() && self.template.is_none() && !self.modules.admission.has_policy()
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let (modules, image_bytes) = match &self.supervisor {
            Some(supervisor) => supervisor.totals(),
            None => self.modules.totals(),
        };
        let mut statistics = Statistics {
            modules,
            image_bytes,
            ..self.counters.read()
        };
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(&mut statistics);
        }
        statistics
    }
}
