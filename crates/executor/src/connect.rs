//! Connecting to an executor.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::transport::Connection;
use crate::{Address, BareExecutor, Error, Executor, Result, Timeouts, TlsClient};

impl Executor {
    /// Connects to the executor at `address`, and waits for it as long as `timeouts` say.
    ///
    /// # Errors
    ///
    /// As [`Executor::connect`]. When the executor's machine is out of reach later, for as long as they say, what is asked fails
    /// with [`Error::Connection`].
    pub fn connect_with(address: &Address, timeouts: Timeouts) -> Result<Self> {
        connect(address, timeouts, Self::speak_within)
    }

    /// Connects to the executor at `address`, which is `tls:HOST:PORT`.
    ///
    /// # Errors
    ///
    /// As [`Executor::connect`] and [`TlsClient::connect`].
    pub fn connect_tls(address: &Address, tls: &TlsClient) -> Result<Self> {
        Self::connect_tls_with(address, tls, Timeouts::default())
    }

    /// Connects to the executor at `address`, which is `tls:HOST:PORT`, and waits for it as long as `timeouts` say.
    ///
    /// # Errors
    ///
    /// As [`Executor::connect_with`] and [`TlsClient::connect`].
    pub fn connect_tls_with(
        address: &Address,
        tls: &TlsClient,
        timeouts: Timeouts,
    ) -> Result<Self> {
        let Address::Tls { host, port } = address else {
            // Whoever has credentials is not to speak in the clear by mistake.
            return Err(Error::not_for_tls(address));
        };
        let connection = tls.connect(host, *port, timeouts)?;
        greet(address, connection, timeouts, Self::speak_within)
    }
}

impl BareExecutor {
    /// Connects to the bare executor at `address`, and waits for it as long as `timeouts` say.
    ///
    /// # Errors
    ///
    /// As [`BareExecutor::connect`]; then as [`Executor::connect_with`].
    pub fn connect_with(address: &Address, timeouts: Timeouts) -> Result<Self> {
        connect(address, timeouts, Self::speak_within)
    }
}

/// Connects to what listens at `address`, and has it greeted.
pub(crate) fn connect<T>(
    address: &Address,
    timeouts: Timeouts,
    speak: impl FnOnce(Connection, Duration) -> Result<T>,
) -> Result<T> {
    let connection = match address {
        Address::Unix(path) => connect_unix(path, timeouts.greeting).map(Connection::unix),
        Address::Tcp { host, port } => connect_tcp(host, *port, timeouts.greeting)
            .and_then(|stream| Connection::tcp_with(stream, timeouts)),
        Address::Tls { .. } => return Err(Error::needs_credentials(address)),
    };
    let connection = connection.map_err(Error::cannot_connect(address))?;
    greet(address, connection, timeouts, speak)
}

/// Has a connection to `address` greeted.
fn greet<T>(
    address: &Address,
    connection: Connection,
    timeouts: Timeouts,
    speak: impl FnOnce(Connection, Duration) -> Result<T>,
) -> Result<T> {
    speak(connection, timeouts.greeting).map_err(|error| match error {
        Error::NoHello => Error::Silent {
            address: address.clone(),
        },
        other => other,
    })
}

/// Waits for a place among those that are to be accepted, and no longer than a hello may take.
fn connect_unix(path: &Path, time: Duration) -> io::Result<UnixStream> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // No time at all would be for ever.
    let time = time.max(Duration::from_millis(1));
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(time))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?).map_err(|error| match error {
        rustix::io::Errno::AGAIN => io::ErrorKind::TimedOut.into(),
        other => io::Error::from(other),
    })?;
    sockopt::set_socket_timeout(&socket, Timeout::Send, None)?;
    Ok(UnixStream::from(socket))
}

/// The first of the host's addresses that answers. None of them takes the time of those after it.
pub(crate) fn connect_tcp(host: &str, port: u16, time: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let start = Instant::now();
    let addresses = (host, port).to_socket_addrs()?;
    let n_addresses = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for (address, n_left) in addresses.zip((1..=n_addresses).rev()) {
        let rest = time.saturating_sub(start.elapsed());
        // The system's answer to no time at all would be that of a mistake in asking.
        let share = (rest / n_left).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, share) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
