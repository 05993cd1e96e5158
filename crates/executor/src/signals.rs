//! What signals ask an executor's process for.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    Stop,
    Reload,
    /// What was waited for beside signals.
    Other,
}

/// Waits for signals.
///
/// A signal sets a flag and writes to a socket pair (crate `signal-hook`), because hardly anything else may be done while a signal is
/// handled. When the socket is full it is readable, which is all that is wanted.
#[derive(Debug)]
pub(crate) struct Signals {
    reader: UnixStream,
    writer: UnixStream,
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

/// Has an executor stop without a signal.
#[derive(Debug)]
pub(crate) struct Stopper {
    writer: UnixStream,
    stop: Arc<AtomicBool>,
}

impl Signals {
    /// Takes SIGTERM and SIGINT as requests to stop, and SIGHUP as one to read files again. A second one of the first two ends the process at
    /// once, for the case that stopping takes too long.
    pub(crate) fn take() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let signals = Self {
            reader,
            writer,
            stop: Arc::default(),
            reload: Arc::default(),
        };
        let is_second = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag not set, and sets it.
            flag::register_conditional_shutdown(signal, 1, is_second.clone())?;
            flag::register(signal, is_second.clone())?;
            flag::register(signal, signals.stop.clone())?;
            pipe::register(signal, signals.writer.try_clone()?)?;
        }
        flag::register(SIGHUP, signals.reload.clone())?;
        pipe::register(SIGHUP, signals.writer.try_clone()?)?;
        Ok(signals)
    }

    /// What has the process stop.
    pub(crate) fn stopper(&self) -> io::Result<Stopper> {
        Ok(Stopper {
            writer: self.writer.try_clone()?,
            stop: self.stop.clone(),
        })
    }

    /// Waits until a signal has come, or `other` is readable.
    pub(crate) fn wait(&self, other: Option<BorrowedFd<'_>>) -> io::Result<Wake> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.reader.as_fd(), PollFlags::IN)];
        fds.extend(other.map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
        loop {
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if !fds[0].revents().is_empty() {
                // Before the flags are looked at: a signal that comes later writes again.
                while (&self.reader).read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
            }
            if self.stop.load(Ordering::SeqCst) {
                return Ok(Wake::Stop);
            }
            if self.reload.swap(false, Ordering::SeqCst) {
                return Ok(Wake::Reload);
            }
            if fds.get(1).is_some_and(|other| !other.revents().is_empty()) {
                return Ok(Wake::Other);
            }
        }
    }
}

impl Stopper {
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        // That nobody waits any more is as good.
        let _ = (&self.writer).write_all(&[0]);
    }
}

/// How long to wait when the system is short of what a connection needs.
pub(crate) const SHORTAGE: Duration = Duration::from_millis(50);
