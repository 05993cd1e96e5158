//! Stopping when a signal asks for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// Becomes readable, and stays so, when the process is to stop.
///
/// A signal writes to a socket pair (crate `signal-hook`), because hardly anything else may be done
/// while a signal is handled.
#[derive(Debug)]
pub(crate) struct Stop {
    reader: UnixStream,
    writer: UnixStream,
}

impl Stop {
    /// Takes SIGTERM and SIGINT as requests to stop. A second one ends the process at once, for the
    /// case that stopping takes for ever.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        let is_second = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag not set, and sets it.
            flag::register_conditional_shutdown(signal, 1, is_second.clone())?;
            flag::register(signal, is_second.clone())?;
            pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self { reader, writer })
    }

    /// What to write a byte to, or to close, for a stop without a signal.
    pub(crate) fn writer(&self) -> io::Result<UnixStream> {
        self.writer.try_clone()
    }

    /// Waits until `other` is readable. Returns whether the process is to stop.
    pub(crate) fn wait(&self, other: Option<BorrowedFd<'_>>) -> io::Result<bool> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.reader.as_fd(), PollFlags::IN)];
        fds.extend(other.map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
        loop {
            match poll(&mut fds, None) {
                Ok(_) => return Ok(!fds[0].revents().is_empty()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How long to wait when the system is short of what a connection needs.
pub(crate) const SHORTAGE: Duration = Duration::from_millis(50);
