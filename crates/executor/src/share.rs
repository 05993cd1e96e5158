//! Going on through memory that both sides share, instead of the socket that they met on.
//!
//! It is the first that a controller asks for, before anything else is on its way, so that there is one moment at which both go over. The socket stays:
//! it passes files, and tells when the other process has ended.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use farcall_protocol::{
    ErrorKind, Failure, Frame, NO_REQUEST, Received, Request, Response, decode,
};

use crate::channel::Channel;
use crate::ring::Ring;
use crate::transport::{Connection, Socket};
use crate::{Address, Error, Executor, Result, Timeouts};

/// How many bytes are on their way in each direction before the sender waits: they stay in the processors' caches.
const RING_SIZE: usize = 256 << 10;

impl Executor {
    /// Connects to the executor at `address`, a Unix socket, and goes on through memory that both processes share, which takes 512 KiB.
    ///
    /// A small call takes a fraction of the time that it takes through the socket, as long as the executor has a processor of its own: whoever waits looks
    /// for the answer for up to 50 microseconds before it sleeps, and so takes time of a processor. Large images still go as files over the socket. That the
    /// other process was killed is noticed within 0.1 seconds.
    ///
    /// # Errors
    ///
    /// As [`Executor::connect`]; [`Error::NotShared`] when it is no Unix socket; [`Error::System`] when there is no such memory.
    pub fn connect_shared(address: &Address) -> Result<Self> {
        crate::connect::connect(address, Timeouts::default(), Self::speak_shared_within)
    }

    /// Speaks to an executor over a Unix socket, and goes on through memory that both share, as [`Executor::connect_shared`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn speak_shared(connection: Connection) -> Result<Self> {
        Self::speak_shared_within(connection, Timeouts::default().greeting)
    }

    fn speak_shared_within(connection: Connection, time: Duration) -> Result<Self> {
        let executor = Self::speak_within(connection, time)?;
        let channel = &executor.shared.channel;
        let socket = channel.local().ok_or(Error::NotShared)?;
        let ring = Ring::create(RING_SIZE, socket.peer());
        let (file, ring) = ring.map_err(Error::system("share memory"))?;
        let id = executor.send(&Request::Share, &[], Some(file.as_fd()))?;
        executor.is_done(id)?;
        channel.go_on(ring, socket)?;
        Ok(executor)
    }
}

impl Channel {
    /// Goes on through shared memory, if that is what the first request asks for and memory for it came. `answer` sends the answer.
    pub(crate) fn share(
        &self,
        frame: &Frame,
        answer: impl FnOnce(u64, Result<Response, Failure>) -> Result<()>,
    ) -> Result<bool> {
        let request: Received<'_, Request<'_>> = decode(frame)?;
        let is_right = request.id != NO_REQUEST && request.body.is_empty();
        if request.message != Request::Share || !is_right {
            // What is wrong with it is said where others are answered.
            return Ok(false);
        }
        match self.ring(request.id) {
            Ok((ring, socket)) => {
                answer(request.id, Ok(Response::Done))?;
                self.go_on(ring, socket)?;
            }
            Err(failure) => answer(request.id, Err(failure))?,
        }
        Ok(true)
    }

    /// The file that came with a request.
    pub(crate) fn file(&self, id: u64) -> Result<OwnedFd, Failure> {
        self.take_file(id).ok_or_else(|| Failure {
            kind: ErrorKind::NoFile,
            message: "no file came with the request: this connection passes none, or the process that it is for may open no more (ulimit -n)"
                .to_owned(),
        })
    }

    /// What a request is answered that asks for sharing when it is too late.
    pub(crate) fn too_late_to_share(&self, id: u64) -> Failure {
        self.file(id).err().unwrap_or_else(|| Failure {
            kind: ErrorKind::Malformed,
            message: "memory for frames comes with the first request or not at all".to_owned(),
        })
    }

    /// The memory that came with a request.
    pub(crate) fn ring(&self, id: u64) -> Result<(Ring, Socket), Failure> {
        let file = self.file(id)?;
        let socket = self.local().ok_or_else(|| Failure {
            kind: ErrorKind::NoFile,
            message: "this connection does not pass files".to_owned(),
        })?;
        let ring = Ring::open(file, socket.peer()).map_err(|error| Failure {
            kind: ErrorKind::Memory,
            message: error.to_string(),
        })?;
        Ok((ring, socket))
    }
}
