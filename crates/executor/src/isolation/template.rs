//! The process that has everything loaded and runs none of it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use farcall_protocol::{ErrorKind, Failure, Response};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    waitpid,
};

use super::limits::Limits;
use super::pool::lock;
use super::sandbox::Sandbox;
use super::system::{self, Forked};
use super::worker::{self, Beginning};
use crate::callback::Line;
use crate::modules::When;
use crate::peer::Peer;
use crate::transport::Connection;
use crate::{Error, Options, Result, Service};

/// What a template has beyond what every executor has.
#[derive(Debug)]
pub(crate) struct Template {
    /// What workers are put into, once one was.
    sandbox: OnceLock<Sandbox>,
    workers: Mutex<Workers>,
    /// What this process is to do as a worker, if it was forked off to be one and serves the template's connection still.
    beginning: Mutex<Option<Beginning>>,
    /// Whether there is that.
    is_leaving: AtomicBool,
    /// To whoever serves it, and in a worker to whoever serves that.
    pub(crate) line: Arc<Line>,
}

/// The processes that were forked off and not waited for.
#[derive(Debug, Default)]
struct Workers {
    processes: HashSet<u32>,
    /// Whether nothing keeps them from starting processes.
    may_start_others: bool,
}

/// Serves as the template of a supervisor, which has started this process with a socket as its standard input, until that ends.
///
/// # Errors
///
/// [`Error::System`] when it was started by somebody else. What goes wrong later the supervisor is told.
pub fn run_template() -> Result<()> {
    let take = || {
        let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        // Only a supervisor's is one.
        control.peer_addr()?;
        io::Result::Ok(control)
    };
    let control = take().map_err(Error::system("serve as a template"))?;
    system::close_inherited_files();
    // What a worker has started and left is this process's to end.
    let _ = set_child_subreaper(Some(getpid()));
    system::open_unwinder();
    let template = Template {
        sandbox: OnceLock::new(),
        workers: Mutex::default(),
        beginning: Mutex::default(),
        is_leaving: AtomicBool::new(false),
        line: Arc::default(),
    };
    let Service(shared) = Service::with_template(Options::default(), template);
    shared.modules.start(When::Never);
    // When that fails, the supervisor is gone or sees that this process is: there is nobody to tell.
    let _ = Peer::serve(&shared, Connection::unix(control));
    if let Some(template) = &shared.template {
        if let Some(beginning) = template.begin() {
            worker::run(&shared, beginning);
        }
        template.end_all();
    }
    Ok(())
}

impl Template {
    /// Starts a worker that serves `socket`. That [leaves](Self::is_leaving) the connection of its template first, and does not answer there.
    pub(crate) fn fork(
        &self,
        socket: OwnedFd,
        limits: Limits,
    ) -> std::result::Result<Response, Failure> {
        // Made before it is needed, so that workers share it.
        let sandbox = self.sandbox(limits);
        let template = getpid();
        let forked = system::fork().map_err(|error| Failure {
            kind: ErrorKind::Memory,
            message: format!("cannot start a worker: {error}"),
        })?;
        match forked {
            Forked::Parent { child } => {
                let mut workers = self.workers();
                workers.processes.insert(child);
                workers.may_start_others |= !sandbox.is_some_and(Sandbox::has_calls);
                Ok(Response::Forked { process: child })
            }
            Forked::Child => {
                let beginning = Beginning {
                    socket,
                    limits,
                    template,
                };
                *lock(&self.beginning) = Some(beginning);
                self.is_leaving.store(true, Ordering::Relaxed);
                Ok(Response::Done)
            }
        }
    }

    /// Whether this process has become a worker in the middle of serving its template's connection, which is not its own: nothing is to be said there. It
    /// leaves, and serves its own from where its template serves: with the same stack and memory, so that it writes to the same pages and shares the others.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// What this process is to do as a worker, if it has become one and left.
    fn begin(&self) -> Option<Beginning> {
        self.is_leaving.store(false, Ordering::Relaxed);
        // So that nothing keeps the memory of whoever served the template's connection: who serves the worker's takes it.
        self.line.lead_nowhere();
        lock(&self.beginning).take()
    }

    /// What workers within these limits are put into, if they are.
    pub(super) fn sandbox(&self, limits: Limits) -> Option<&Sandbox> {
        let make = || Sandbox::new(limits.memory.is_some());
        limits.sandbox.then(|| self.sandbox.get_or_init(make))
    }

    /// Ends a worker, and whatever it has started, and waits for that.
    pub(crate) fn reap(&self, process: u32) -> Response {
        let mut workers = self.workers();
        // One that was waited for before has a number that may be another's.
        let is_there = workers.processes.remove(&process);
        let worker = number(process).filter(|_| is_there);
        let status = worker.and_then(|worker| {
            // They fail when it has ended, and has started nothing.
            let _ = kill_process_group(worker, Signal::KILL);
            let _ = kill_process(worker, Signal::KILL);
            let ended = waitpid(Some(worker), WaitOptions::empty());
            ended.ok().flatten().map(|(_, status)| status.as_raw())
        });
        if workers.may_start_others {
            end_orphans(&workers.processes);
        }
        Response::Ended { status }
    }

    /// Ends all workers, and whatever they have started: nobody is left who would.
    fn end_all(&self) {
        let workers: Vec<u32> = self.workers().processes.iter().copied().collect();
        for worker in workers {
            self.reap(worker);
        }
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        lock(&self.workers)
    }
}

fn number(process: u32) -> Option<Pid> {
    i32::try_from(process).ok().and_then(Pid::from_raw)
}

/// Ends processes that workers have started and nobody is left to answer for: this one is their parent then. One that starts others faster than they are
/// ended is given up.
fn end_orphans(workers: &HashSet<u32>) {
    for _ in 0..MOST_ROUNDS {
        let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|child| child.parse().ok());
        let orphans: Vec<_> = children
            .filter(|child| !workers.contains(child))
            .filter_map(number)
            .collect();
        if orphans.is_empty() {
            return;
        }
        for orphan in orphans {
            let _ = kill_process(orphan, Signal::KILL);
            let _ = waitpid(Some(orphan), WaitOptions::empty());
        }
    }
}

/// How often it is looked whether there are orphans, and they are ended.
const MOST_ROUNDS: usize = 100;
