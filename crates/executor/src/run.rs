//! An executor's process, from its start to its stop.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::thread;

use crate::audit::Audit;
use crate::exec;
use crate::listener::Listener;
use crate::metrics::Exposition;
use crate::notify::Notify;
use crate::signals::{SHORTAGE, Signals, Wake};
use crate::transport::Connection;
use crate::{Address, Error, Isolation, Options, Result, Service, TlsServer, Trust, stdio};

/// The stack of a thread that calls shipped code, in bytes: what a main thread usually has.
pub(crate) const STACK_SIZE: usize = 8 << 20;

/// Where an executor's controllers are.
#[derive(Debug, Clone)]
pub enum Listen {
    /// They connect, to this address, which is not for TLS.
    At(Address),
    /// They connect, to this address, which is `tls:HOST:PORT`, and show who they are.
    Tls(Address, TlsServer),
    /// One, at the other end of standard input and output.
    Stdio,
}

/// The status of a process that has stopped before all that was asked of it was done.
const UNFINISHED: i32 = 3;

/// Serves until SIGTERM or SIGINT, on standard input and output also until their end. Then it takes no more connections, [stops](Service::stop) and
/// unloads what it has.
///
/// What is not done after [`Options::stop_time`] is named on standard error, and the process ends with status 3. A second signal ends it
/// at once, with status 1.
///
/// Upon SIGHUP it reads its policy, and the files of its certificates, again: [`PolicyFile::reload`](farcall_trust::PolicyFile::reload),
/// [`TlsServer::read_again`], and opens its audit anew. What is wrong with them is said on standard error, and changes nothing.
///
/// Prints `listening on ADDRESS` to standard output when controllers can connect, with the actual
/// port; on standard input and output it prints nothing. The service manager that has started it, if one has, is told what it does (sd_notify(3)).
///
/// It loads the images that `trust` says: unsigned ones over local transports only, as a certificate says who connects, and not whose
/// code it is. Calls run in workers, as `isolation` says; without one in this process, which a crash of theirs then ends.
///
/// # Errors
///
/// [`Error::InUse`], [`Error::NotASocket`], [`Error::Listen`], [`Error::Unsigned`] or [`Error::System`], before it
/// serves. What goes wrong with one connection ends that connection alone.
pub fn run(
    listen: &Listen,
    options: Options,
    isolation: Option<Isolation>,
    trust: Trust,
) -> Result<()> {
    run_watched(listen, options, isolation, trust, Watch::default())
}

/// How an executor is watched.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Where metrics are asked for, as OpenMetrics text over HTTP: a Unix socket or a TCP port, not one with TLS.
    pub metrics: Option<Address>,
    /// Where it says what it loads and refuses to load.
    pub audit: Audit,
}

/// As [`run`], and says how it fares. Where its metrics are it says in a second line, `listening on ADDRESS for metrics`; on standard input and output
/// on standard error.
///
/// # Errors
///
/// As [`run`], also of the address for metrics.
pub fn run_watched(
    listen: &Listen,
    options: Options,
    isolation: Option<Isolation>,
    trust: Trust,
    watch: Watch,
) -> Result<()> {
    if let Trust::Policy(policy) = &trust {
        let n_keys = policy.current().n_keys();
        tracing::info!("{}: {n_keys} keys are trusted", policy.path().display());
    }
    exec::keep_little_memory();
    let signals = Signals::take().map_err(Error::system("wait for signals"))?;
    let notify = Notify::from_environment();
    let service = Service::audited(options, isolation, trust, watch.audit.clone())?;
    let metrics = (watch.metrics.as_ref()).map(|address| Exposition::start(address, &service));
    let process = Process {
        service,
        signals,
        notify,
        metrics: metrics.transpose()?,
        audit: watch.audit,
    };
    match listen {
        Listen::At(address) => process.listen(Listener::bind(address, None)?)?,
        Listen::Tls(address, server) => {
            process.listen(Listener::bind(address, Some(server.clone()))?)?;
        }
        Listen::Stdio => process.serve_stdio()?,
    }
    process.stop();
    Ok(())
}

struct Process {
    service: Service,
    signals: Signals,
    notify: Notify,
    /// Answers until it ends.
    metrics: Option<Exposition>,
    audit: Audit,
}

impl Process {
    /// Serves one controller, to its end or until a signal.
    fn serve_stdio(&self) -> Result<()> {
        warn_of_unsigned(&self.service);
        self.warn_of_metrics();
        if let Some(metrics) = &self.metrics {
            eprintln!("listening on {} for metrics", metrics.address());
        }
        let connection = stdio::take().map_err(Error::system("take standard output"))?;
        let stopper = self.signals.stopper();
        let stopper = stopper.map_err(Error::system("wait for signals"))?;
        spawn(&self.service, connection, move || stopper.stop())
            .map_err(Error::system("start a thread"))?;
        self.notify.ready();
        loop {
            let wake = self.signals.wait(None);
            match wake.map_err(Error::system("wait for signals"))? {
                Wake::Stop => return Ok(()),
                Wake::Reload => self.reload(None),
                Wake::Other => {}
            }
        }
    }

    fn warn_of_metrics(&self) {
        if let Some(metrics) = self.metrics.as_ref().filter(|metrics| metrics.is_open()) {
            eprintln!(
                "warning: {}: anyone who can connect can read the metrics",
                metrics.address()
            );
        }
    }

    /// Serves whoever connects, until a signal.
    fn listen(&self, mut listener: Listener) -> Result<()> {
        if !self.service.0.modules.admission.has_policy() && !listener.is_local() {
            return Err(Error::Unsigned {
                address: listener.address().clone(),
            });
        }
        warn_of_unsigned(&self.service);
        if listener.is_open() {
            eprintln!(
                "warning: {}: anyone who can connect can call what signed images export here",
                listener.address()
            );
        }
        self.warn_of_metrics();
        let mut stdout = io::stdout();
        let mut lines = format!("listening on {}\n", listener.address());
        if let Some(metrics) = &self.metrics {
            lines += &format!("listening on {} for metrics\n", metrics.address());
        }
        (stdout.write_all(lines.as_bytes()))
            .and_then(|()| stdout.flush())
            .map_err(Error::system("write to standard output"))?;
        self.notify.ready();

        loop {
            let wake = self.signals.wait(Some(listener.as_fd()));
            match wake.map_err(Error::system("wait for connections"))? {
                Wake::Stop => break,
                Wake::Reload => self.reload(Some(&mut listener)),
                Wake::Other => {
                    if self.accept(&listener) == Accepted::Short {
                        // Most likely too many files are open, or threads; asking again at once would be in vain.
                        thread::sleep(SHORTAGE);
                    }
                }
            }
        }
        self.notify.stopping();
        self.service.0.connections.refuse_new();
        // Those that wait are told why they are not served.
        while self.accept(&listener) == Accepted::One {}
        Ok(())
    }

    fn accept(&self, listener: &Listener) -> Accepted {
        let short_of = match listener.accept(self.service.0.options.timeouts) {
            Ok(connection) => spawn(&self.service, connection, || ()).err(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Accepted::None,
            // Who was there has gone: others are not to wait for that.
            Err(error) if has_gone(&error) => return Accepted::One,
            Err(error) => Some(error),
        };
        let Some(error) = short_of else {
            return Accepted::One;
        };
        tracing::warn!("{}: cannot accept: {error}", listener.address());
        Accepted::Short
    }

    /// Reads again what is in files. What is written to files is opened again here too.
    fn reload(&self, listener: Option<&mut Listener>) {
        self.notify.reloading();
        let mut has_read = false;
        if let Some(reloaded) = self.service.0.modules.admission.reload() {
            has_read = true;
            match reloaded {
                Ok(change) => tracing::info!("policy: {change}"),
                Err(error) => warn(&format!("{error}: the policy stays as it was")),
            }
        }
        if let Some(listener) = listener
            && let Some(read) = listener.read_credentials_again()
        {
            has_read = true;
            match read {
                Ok(()) => tracing::info!("certificates: read again"),
                Err(error) => warn(&format!("{error}: the certificates stay as they were")),
            }
        }
        match self.audit.reopen() {
            Ok(is_open) => has_read |= is_open,
            Err(error) => warn(&format!(
                "the audit: {error}: its file stays the one that it was"
            )),
        }
        if !has_read {
            tracing::info!("there is nothing to read again");
        }
        self.notify.ready();
    }

    /// Does what was asked before, and unloads.
    fn stop(&self) {
        self.notify.stopping();
        tracing::info!("stopping");
        let most = self.service.0.options.stop_time;
        let Err(running) = self.service.stop(most) else {
            self.service.unload_all();
            return;
        };
        let seconds = most.as_secs();
        warn(&format!(
            "not all was done in the {seconds} s that stopping may take"
        ));
        for running in running {
            warn(&format!("still running: {running}"));
        }
        // Not in the order of an exit: what runs would see its variables destroyed.
        self.service.end_workers();
        signal_hook::low_level::exit(UNFINISHED);
    }
}

/// What has come of taking a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepted {
    One,
    None,
    /// The system is short of what one needs.
    Short,
}

/// Says what an operator has to know, whatever is logged.
fn warn(message: &str) {
    // Nobody may read it any more.
    let _ = writeln!(io::stderr(), "warning: {message}");
}

fn warn_of_unsigned(service: &Service) {
    if !service.0.modules.admission.has_policy() {
        eprintln!("warning: loading unsigned images: whoever can connect can run code here");
    }
}

/// Whether a connection could not be accepted because it is none any more.
fn has_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}

/// Serves `connection` on a thread of its own, then calls `on_end`.
fn spawn(
    service: &Service,
    connection: Connection,
    on_end: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let service = service.clone();
    let serve = move || {
        match service.serve(connection) {
            Ok(()) => tracing::debug!("a controller has gone"),
            Err(error) => tracing::info!("{error}"),
        }
        on_end();
    };
    thread::Builder::new()
        .name("connection".to_owned())
        .stack_size(STACK_SIZE)
        .spawn(serve)?;
    Ok(())
}
