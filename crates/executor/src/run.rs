//! An executor's process, from its start to its stop.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::thread;

use crate::listener::Listener;
use crate::stop::{SHORTAGE, Stop};
use crate::transport::Connection;
use crate::{Address, Error, Options, Result, Service, stdio};

/// The stack of a thread that calls shipped code, in bytes: what a main thread usually has.
pub(crate) const STACK_SIZE: usize = 8 << 20;

/// Where an executor's controllers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// They connect, to this address.
    At(Address),
    /// One, at the other end of standard input and output.
    Stdio,
}

/// Serves until SIGTERM or SIGINT, on standard input and output also until their end; then unloads
/// what is not in a call. A second signal ends the process at once.
///
/// Prints `listening on ADDRESS` to standard output when controllers can connect, with the actual
/// port; on standard input and output it prints nothing.
///
/// # Errors
///
/// [`Error::InUse`], [`Error::NotASocket`], [`Error::Listen`] or [`Error::System`], before it
/// serves. What goes wrong with one connection ends that connection alone.
pub fn run(listen: &Listen, options: Options) -> Result<()> {
    let stop = Stop::on_signals().map_err(Error::system("wait for signals"))?;
    let service = Service::new(options);
    match listen {
        Listen::At(address) => serve_listener(&service, &stop, address)?,
        Listen::Stdio => {
            let connection = stdio::take().map_err(Error::system("take standard output"))?;
            let done = stop.writer().map_err(Error::system("wait for signals"))?;
            let on_end = move || {
                // A byte for whoever waits; that nobody does any more is as good.
                let _ = (&done).write_all(&[0]);
            };
            spawn(&service, connection, on_end).map_err(Error::system("start a thread"))?;
            while !stop.wait(None).map_err(Error::system("wait for signals"))? {}
        }
    }
    tracing::info!("stopping");
    service.unload_all();
    Ok(())
}

/// Serves whoever connects to `address`, until `stop`.
fn serve_listener(service: &Service, stop: &Stop, address: &Address) -> Result<()> {
    let listener = Listener::bind(address)?;
    if !listener.is_local() {
        eprintln!(
            "warning: {}: anyone who can connect can run code here",
            listener.address()
        );
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", listener.address())
        .and_then(|()| stdout.flush())
        .map_err(Error::system("write to standard output"))?;

    while !stop
        .wait(Some(listener.as_fd()))
        .map_err(Error::system("wait for connections"))?
    {
        let accepted = listener
            .accept()
            .and_then(|connection| spawn(service, connection, || ()));
        match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!("{}: cannot accept: {error}", listener.address());
                // Most likely too many files are open; asking again at once would be in vain.
                thread::sleep(SHORTAGE);
            }
            Ok(()) => {}
        }
    }
    Ok(())
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
