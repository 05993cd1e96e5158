//! Asking executors, each on a thread of its own, so that none waits for another.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use farcall::Digest;
use farcall::executor::{
    self, Address, Error, Executor, ModuleInfo, Statistics, Timeouts, TlsClient,
};

use crate::report::message;

/// How long an executor may take to be connected to, and its machine to give a sign.
const TIMEOUTS: Timeouts = Timeouts {
    greeting: Duration::from_secs(5),
    silence: Duration::from_secs(10),
};

/// How long one that could not be connected to is left alone, at the least.
const PAUSE: Duration = Duration::from_secs(1);

/// Where an executor is, and how it is reached.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// For an address of TLS.
    pub(crate) tls: Option<TlsClient>,
}

/// What a thread that asks an executor is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    /// Whether its modules are to be listed, at once and in each interval.
    List(bool),
    /// Have it forget how often an image has crashed.
    Pardon(Digest),
}

/// What an executor has said, or that it says nothing.
#[derive(Debug)]
pub(crate) struct Report {
    /// Which one, by its number among the targets.
    pub(crate) executor: usize,
    /// When the answer came.
    pub(crate) at: Instant,
    pub(crate) what: Answer,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Connected {
        software: String,
    },
    Counted(Box<Statistics>),
    Listed(Vec<ModuleInfo>),
    /// Why it cannot be asked.
    Failed(String),
    /// An image's crashes are forgotten, or why not.
    Pardoned(Digest, Result<(), String>),
}

/// Asks an executor in each interval, on a new thread, which ends when its commands or its reports do. A thread that waits for
/// an answer ends with the process.
///
/// # Errors
///
/// When the system has no more threads.
pub(crate) fn start<E: From<Report> + Send + 'static>(
    executor: usize,
    target: Target,
    interval: Duration,
    reports: Sender<E>,
) -> std::io::Result<Sender<Command>> {
    let (sender, commands) = channel();
    let mut asking = Asking {
        executor,
        target,
        connection: None,
        reports,
    };
    thread::Builder::new()
        .name(format!("executor {executor}"))
        .spawn(move || asking.serve(&commands, interval))?;
    Ok(sender)
}

/// What the thread has.
struct Asking<E> {
    executor: usize,
    target: Target,
    connection: Option<Executor>,
    reports: Sender<E>,
}

/// Nobody waits for reports any more.
struct Gone;

impl<E: From<Report>> Asking<E> {
    fn serve(&mut self, commands: &Receiver<Command>, interval: Duration) {
        let mut lists = false;
        let mut next = Instant::now();
        loop {
            let command = commands.recv_timeout(next.saturating_duration_since(Instant::now()));
            let done = match command {
                Ok(Command::List(is_wanted)) => {
                    lists = is_wanted;
                    if lists { self.list() } else { Ok(()) }
                }
                Ok(Command::Pardon(digest)) => self.pardon(digest),
                Err(RecvTimeoutError::Timeout) => {
                    let asked = self.ask(lists);
                    let now = Instant::now();
                    // Intervals that have passed without an answer are not made up for.
                    next = (next + interval).max(now);
                    if self.connection.is_none() {
                        next = next.max(now + PAUSE);
                    }
                    asked
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// Asks for all that is shown.
    fn ask(&mut self, lists: bool) -> Result<(), Gone> {
        if self.connection.is_none() {
            match self.connect() {
                Ok(connection) => {
                    let hello = connection.hello();
                    let software = format!("{}, {}", hello.software, hello.machine);
                    self.connection = Some(connection);
                    self.report(Answer::Connected { software })?;
                }
                Err(error) => return self.report(Answer::Failed(said(error))),
            }
        }
        match self.over_connection(Executor::statistics) {
            Some(Ok(statistics)) => self.report(Answer::Counted(Box::new(statistics)))?,
            Some(Err(error)) => return self.report(Answer::Failed(error)),
            None => return Ok(()),
        }
        if lists { self.list() } else { Ok(()) }
    }

    fn list(&mut self) -> Result<(), Gone> {
        match self.over_connection(Executor::list) {
            Some(Ok(modules)) => self.report(Answer::Listed(modules)),
            Some(Err(error)) => self.report(Answer::Failed(error)),
            None => Ok(()),
        }
    }

    fn pardon(&mut self, digest: Digest) -> Result<(), Gone> {
        let pardoned = self.over_connection(|executor| executor.pardon(digest));
        let pardoned = pardoned.unwrap_or_else(|| Err("not connected".to_owned()));
        self.report(Answer::Pardoned(digest, pardoned))
    }

    /// Asks the executor, if there is a connection, which is closed when it fails.
    fn over_connection<T>(
        &mut self,
        ask: impl FnOnce(&Executor) -> executor::Result<T>,
    ) -> Option<Result<T, String>> {
        let answer = ask(self.connection.as_ref()?);
        // The others say that the connection is of no more use.
        if !matches!(answer, Ok(_) | Err(Error::Failed(_))) {
            self.connection = None;
        }
        Some(answer.map_err(said))
    }

    fn connect(&self) -> executor::Result<Executor> {
        let address = &self.target.address;
        match &self.target.tls {
            Some(tls) => Executor::connect_tls_with(address, tls, TIMEOUTS),
            None => Executor::connect_with(address, TIMEOUTS),
        }
    }

    fn report(&self, what: Answer) -> Result<(), Gone> {
        let report = Report {
            executor: self.executor,
            at: Instant::now(),
            what,
        };
        self.reports.send(report.into()).map_err(|_| Gone)
    }
}

/// An error in words, with its causes.
fn said(error: Error) -> String {
    message(&anyhow::Error::new(error))
}
