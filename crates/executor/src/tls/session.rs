//! A TLS connection that has no thread of its own: whoever reads or writes drives it.
//!
//! TLS is one state machine for both directions, while frames are read and written by different threads. So the machine is under a
//! lock, which nobody holds while the socket is waited for: a call costs the system calls that it does over TCP, and what its four
//! records take to encrypt and decrypt.

use std::io::{self, BufRead as _, ErrorKind, IoSlice, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, Shutdown};
use rustls::Connection;

use super::{Certificate, LEAVE_TIME, TlsFailure};
use crate::transport::{Ready, Socket};

/// How much is taken from the socket at once, in bytes: two of TLS's records.
const CHUNK: usize = 32 << 10;

/// How much is encrypted before it is sent, in bytes: more than a hello, which is kept until the handshake is over.
const MOST_UNSENT: usize = 128 << 10;

/// A TLS connection over a socket.
pub(crate) struct Session {
    socket: Socket,
    /// Where the peer is, for those who read the log.
    peer: String,
    machine: Mutex<Machine>,
    /// Only one thread reads at a time.
    inbox: Mutex<Inbox>,
    /// How long the peer may take to shake hands and say something, and when that is over; `None` when it is too far away to be a time.
    greeting: Duration,
    deadline: Option<Instant>,
}

/// The state of TLS.
struct Machine {
    tls: Connection,
    /// Whether the peer has said something after the handshake.
    has_heard: bool,
}

/// What came from the socket, `bytes[start..end]` of which TLS has not seen yet.
struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Session {
    /// Begins with what `tls` is set up for. The peer has the time of `greeting` to shake hands and say something.
    pub(super) fn new(
        mut tls: Connection,
        socket: Socket,
        peer: String,
        greeting: Duration,
    ) -> Self {
        tls.set_buffer_limit(Some(MOST_UNSENT));
        Self {
            socket,
            peer,
            machine: Mutex::new(Machine {
                tls,
                has_heard: false,
            }),
            inbox: Mutex::new(Inbox {
                bytes: vec![0; CHUNK],
                start: 0,
                end: 0,
            }),
            greeting,
            deadline: Instant::now().checked_add(greeting),
        }
    }

    /// The socket, for its options.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The peer's certificate, once hands have been shaken.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        let machine = lock(&self.machine);
        let certificates = machine.tls.peer_certificates()?;
        certificates.first().map(|first| Certificate::of(first))
    }

    /// Shakes hands, and waits until the peer has said something.
    ///
    /// The handshake of TLS 1.3 ends on the client's side before the server has seen the client's certificate, so that only this tells a
    /// client that it has been let in.
    pub(super) fn wait_for_peer(&self) -> Result<(), TlsFailure> {
        let mut inbox = lock(&self.inbox);
        while self.take(&mut inbox, &mut [])?.is_none() {
            self.receive(&mut inbox, RecvFlags::empty())?;
        }
        Ok(())
    }

    /// Reads what is there, and waits until something is unless `flags` say otherwise; 0 when the peer has said that nothing more comes.
    pub(crate) fn read(&self, space: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        let mut inbox = lock(&self.inbox);
        loop {
            let taken = self.take(&mut inbox, space);
            if let Some(n_bytes) = taken.map_err(|failure| self.error(failure))? {
                return Ok(n_bytes);
            }
            let received = self.receive(&mut inbox, flags);
            received.map_err(|failure| self.error(failure))?;
        }
    }

    /// Encrypts what can be sent without waiting, or little more, and sends it. What the socket has not taken is sent by the next
    /// [`write`](Self::write) or [`flush`](Self::flush).
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut machine = lock(&self.machine);
        self.send(&mut machine)?;
        let n_bytes = machine.tls.writer().write_vectored(slices)?;
        if n_bytes == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        match self.send(&mut machine) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(n_bytes),
            sent => sent.map(|()| n_bytes),
        }
    }

    /// Sends what was encrypted, as far as that can be done without waiting; [`ErrorKind::WouldBlock`] when some of it is left.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.send(&mut lock(&self.machine))
    }

    /// Waits until the socket takes more bytes, or there is something to read if that is wanted too; where it is not, no longer than `most`.
    pub(crate) fn wait(&self, reads_too: bool, most: Option<Duration>) -> io::Result<Ready> {
        let deadline = most.and_then(|most| Instant::now().checked_add(most));
        if !reads_too {
            return match self.poll(PollFlags::OUT, deadline) {
                Err(error) if error.kind() == ErrorKind::TimedOut => Ok(Ready {
                    to_read: false,
                    to_write: false,
                }),
                ready => ready,
            };
        }
        let mut inbox = lock(&self.inbox);
        loop {
            // What the socket has is nothing to read if it is half a record, or TLS's own business.
            if !matches!(self.take(&mut inbox, &mut []), Ok(None)) {
                return Ok(Ready {
                    to_read: true,
                    to_write: false,
                });
            }
            let ready = self.poll(PollFlags::IN | PollFlags::OUT, None)?;
            if ready.to_write {
                return Ok(Ready {
                    to_read: false,
                    to_write: true,
                });
            }
            match self.receive(&mut inbox, RecvFlags::DONTWAIT) {
                Err(TlsFailure::System(error)) if error.kind() == ErrorKind::WouldBlock => {}
                received => received.map_err(|failure| self.error(failure))?,
            }
        }
    }

    /// Decrypted bytes, into `space` unless that is empty; `None` when more has to come first.
    fn take(&self, inbox: &mut Inbox, space: &mut [u8]) -> Result<Option<usize>, TlsFailure> {
        let mut machine = lock(&self.machine);
        let was_handshaking = machine.tls.is_handshaking();
        let decrypted = decrypt(&mut machine.tls, inbox);
        // An answer of TLS's own, or why it refuses the peer. One that does not listen is read to its end nevertheless.
        let _ = self.send(&mut machine);
        if let Err(failure) = decrypted {
            if was_handshaking {
                self.take_leave();
            }
            return Err(failure);
        }
        let is_handshaking = machine.tls.is_handshaking();
        if was_handshaking && !is_handshaking {
            tracing::debug!("{}: TLS with a known peer", self.peer);
        }
        let mut reader = machine.tls.reader();
        let there = match reader.fill_buf() {
            Ok(there) => there.len(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(if is_handshaking {
                    TlsFailure::Abandoned
                } else {
                    TlsFailure::Cut
                });
            }
            Err(error) => return Err(error.into()),
        };
        if there > 0 && !space.is_empty() {
            let n_bytes = reader.read(space)?;
            machine.has_heard = true;
            return Ok(Some(n_bytes));
        }
        Ok(Some(there))
    }

    /// Takes what the socket has. All that it had before is decrypted.
    fn receive(&self, inbox: &mut Inbox, flags: RecvFlags) -> Result<(), TlsFailure> {
        if !flags.contains(RecvFlags::DONTWAIT) {
            self.wait_to_receive()?;
        }
        let n_bytes = (self.socket).read(&mut inbox.bytes, &mut Vec::new(), flags)?;
        (inbox.start, inbox.end) = (0, n_bytes);
        if n_bytes == 0 {
            // TLS notes the end: whether it may come here is its business.
            lock(&self.machine).tls.read_tls(&mut io::empty())?;
        }
        Ok(())
    }

    /// Waits until the socket has something where receiving from it is not to wait: for a peer that has not said anything yet, or
    /// while some of TLS's own answers are unsent.
    fn wait_to_receive(&self) -> Result<(), TlsFailure> {
        loop {
            let machine = lock(&self.machine);
            let (has_heard, is_unsent) = (machine.has_heard, machine.tls.wants_write());
            drop(machine);
            if has_heard && !is_unsent {
                return Ok(());
            }
            let mut wanted = PollFlags::IN;
            wanted.set(PollFlags::OUT, is_unsent);
            let deadline = self.deadline.filter(|_| !has_heard);
            let ready = self.poll(wanted, deadline);
            let ready = ready.map_err(|error| match error.kind() {
                ErrorKind::TimedOut => TlsFailure::Late(self.greeting),
                _ => error.into(),
            })?;
            if ready.to_read {
                return Ok(());
            }
            match self.flush() {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                _ => {}
            }
        }
    }

    /// Sends what TLS has to say, as far as the socket takes it.
    fn send(&self, machine: &mut Machine) -> io::Result<()> {
        while machine.tls.wants_write() {
            match machine.tls.write_tls(&mut Writer(&self.socket)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => drop(written?),
            }
        }
        Ok(())
    }

    /// Waits for the peer's end, after it was told why it is not served: closing a socket that has unread bytes, or gets some, makes
    /// the system take back what was sent and not received.
    fn take_leave(&self) {
        let deadline = Some(Instant::now() + LEAVE_TIME);
        let mut space = [0; 1024];
        if rustix::net::shutdown(&self.socket, Shutdown::Write).is_err() {
            return;
        }
        while self.poll(PollFlags::IN, deadline).is_ok() {
            match (self.socket).read(&mut space, &mut Vec::new(), RecvFlags::DONTWAIT) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Waits until the socket is ready for one of these; [`ErrorKind::TimedOut`] when it was not at the deadline.
    fn poll(&self, wanted: PollFlags, deadline: Option<Instant>) -> io::Result<Ready> {
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), wanted)];
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // A time that is no number of the system's is as good as none.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut fds, left.as_ref()) {
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // An end or an error is for whoever waits to read, or to write if nobody does.
        let ready = fds[0].revents();
        let has_ended = ready.intersects(PollFlags::HUP | PollFlags::ERR);
        Ok(Ready {
            to_read: ready.contains(PollFlags::IN) || has_ended && wanted.contains(PollFlags::IN),
            to_write: ready.contains(PollFlags::OUT) || has_ended,
        })
    }

    fn error(&self, failure: TlsFailure) -> io::Error {
        match failure {
            TlsFailure::System(error) => error,
            failure => {
                let text = format!("{}: TLS: {failure}", self.peer);
                io::Error::new(ErrorKind::ConnectionAborted, text)
            }
        }
    }
}

/// The end of the connection as one of this side's choice, which the peer can tell from one that was cut.
impl Drop for Session {
    fn drop(&mut self) {
        let mut machine = lock(&self.machine);
        if !machine.tls.is_handshaking() {
            machine.tls.send_close_notify();
            let _ = self.send(&mut machine);
        }
    }
}

/// Gives TLS what came, until there is plaintext.
fn decrypt(tls: &mut Connection, inbox: &mut Inbox) -> Result<(), TlsFailure> {
    while inbox.start < inbox.end && !matches!(tls.reader().fill_buf(), Ok([_, ..])) {
        let n_bytes = tls.read_tls(&mut &inbox.bytes[inbox.start..inbox.end])?;
        if n_bytes == 0 {
            // What comes after the peer's last word is nobody's.
            inbox.start = inbox.end;
        }
        inbox.start += n_bytes;
        let was_handshaking = tls.is_handshaking();
        match tls.process_new_packets() {
            Err(rustls::Error::InvalidMessage(_)) if was_handshaking => {
                return Err(TlsFailure::NotTls);
            }
            processed => processed?,
        };
    }
    Ok(())
}

/// The socket as what TLS writes to.
struct Writer<'a>(&'a Socket);

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices, None)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is locked is whole also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
