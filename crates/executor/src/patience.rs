//! How long one end of a connection waits for the other to say who it is.

use std::io;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Timeout};

use crate::transport::{Connection, Incoming, Socket};

/// The time until which a peer's hello has to be there, all of it: one that comes byte by byte gets no more. It ends when this is
/// dropped. Streams that are neither sockets nor pipes have none, because nobody can wait for them for a while only.
pub(crate) struct Patience {
    socket: Option<Socket>,
    /// `None` when it is too far away to be a time.
    deadline: Option<Instant>,
}

impl Patience {
    pub(crate) fn of(connection: &Connection, time: Duration) -> Self {
        let socket = match &connection.incoming {
            Incoming::Socket(socket) => Some(socket.clone()),
            Incoming::Tls(session) => Some(session.socket().clone()),
            Incoming::Ring(_) | Incoming::Stream(_) => None,
        };
        Self {
            socket,
            deadline: Instant::now().checked_add(time),
        }
    }

    /// Has the next read wait no longer than what is left, which gives an error of kind [`io::ErrorKind::WouldBlock`] when nothing comes.
    /// What is there already is read also when nothing is left: it is not the peer that was late.
    ///
    /// # Errors
    ///
    /// As that read's.
    pub(crate) fn limit_read(&self) -> io::Result<()> {
        let (Some(socket), Some(deadline)) = (&self.socket, self.deadline) else {
            return Ok(());
        };
        // A socket's time is in microseconds, and no time is for ever.
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_micros(1));
        if let Some(options) = socket.options() {
            sockopt::set_socket_timeout(options, Timeout::Recv, Some(left))?;
        } else if !socket.wait_to_read(left)?.to_read {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if let Some(options) = self.socket.as_ref().and_then(Socket::options) {
            // It fails for nothing that is a socket.
            let _ = sockopt::set_socket_timeout(options, Timeout::Recv, None);
        }
    }
}
