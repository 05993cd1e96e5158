//! Memory in an executor that stays between calls.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{PoisonError, RwLock};

use farcall_protocol::{ErrorKind, Failure, Request, Response};

use crate::client::{Executor, out_of_place, size};
use crate::shared::{Bytes, Mapping};
use crate::{Error, Result};

/// A buffer in an executor, for data that calls use more than once, or that is more than one frame takes. Dropping it frees it.
///
/// It is 64-byte aligned, belongs to its connection, and goes with it.
///
/// One that is [shared](Executor::allocate_shared) is written and read without a request: at once, and not after what was asked before. Whoever does so while a
/// call uses the same bytes gets some old and some new ones.
#[derive(Debug)]
pub struct RemoteBuffer {
    executor: Executor,
    pub(crate) number: u64,
    address: u64,
    size: u64,
    /// Its bytes, where they are in this process too.
    shared: Option<RwLock<Bytes>>,
}

impl Executor {
    /// Makes a buffer there, of zeros, for calls to use: see [`RemoteBuffer`].
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when there is not as much memory.
    pub fn allocate(&self, n_bytes: u64) -> Result<RemoteBuffer> {
        RemoteBuffer::ask(self, n_bytes, None)
    }

    /// Makes a buffer there, of zeros, in memory that both processes share: writing and reading it are copies here, without a request.
    /// All of the memory is taken now. Works over Unix sockets, whether or not frames go through shared memory too.
    ///
    /// # Errors
    ///
    /// As [`Executor::allocate`]; [`Error::NotShared`] when the connection is no Unix socket; [`Error::System`] when there is no such memory.
    pub fn allocate_shared(&self, n_bytes: u64) -> Result<RemoteBuffer> {
        if !self.shared.channel.passes_files() {
            return Err(Error::NotShared);
        }
        if n_bytes == 0 {
            // There is no such file, and nothing to share.
            return self.allocate(n_bytes);
        }
        let length = usize::try_from(n_bytes).unwrap_or(usize::MAX);
        let created = Mapping::create(c"farcall-buffer", length);
        let (file, mapping) = created.map_err(Error::system("share memory"))?;
        RemoteBuffer::ask(self, n_bytes, Some((file, mapping.into_bytes())))
    }
}

impl RemoteBuffer {
    /// How much goes in one frame, so that others of the connection need not wait long.
    const CHUNK: usize = 1 << 20;

    fn ask(executor: &Executor, size: u64, shared: Option<(OwnedFd, Bytes)>) -> Result<Self> {
        let (file, bytes) = shared.unzip();
        let request = Request::Allocate {
            size,
            shared: file.is_some(),
        };
        let id = executor.send(&request, &[], file.as_ref().map(AsFd::as_fd))?;
        Self::allocated(executor, size, bytes, &executor.answer(id)?.response)
    }

    /// The buffer that an answer is about, and the memory that is shared, if it is.
    pub(crate) fn allocated(
        executor: &Executor,
        size: u64,
        bytes: Option<Bytes>,
        answer: &Response,
    ) -> Result<Self> {
        match *answer {
            Response::Allocated { buffer, address } => Ok(Self {
                executor: executor.clone(),
                number: buffer,
                address,
                size,
                shared: bytes.map(RwLock::new),
            }),
            _ => Err(out_of_place()),
        }
    }

    /// Its address in the executor's process.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes bytes from `offset` on. Much is sent in pieces, without waiting for each.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`](crate::Error::Failed) when the buffer ends before.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if let Some(shared) = &self.shared {
            let start = self.start(offset, bytes.len())?;
            let mut shared = shared.write().unwrap_or_else(PoisonError::into_inner);
            shared.copy_in(start, bytes);
            return Ok(());
        }
        let mut sent = Vec::new();
        for (piece, offset) in self.pieces(offset, bytes.len()) {
            let request = Request::Write {
                buffer: self.number,
                offset,
            };
            sent.push(self.executor.send(&request, &[&bytes[piece]], None)?);
        }
        let answered = sent.into_iter().map(|id| {
            let answer = self.executor.answer(id)?;
            match answer.response {
                Response::Done => Ok(()),
                _ => Err(out_of_place()),
            }
        });
        // All are waited for, also those after one that failed.
        answered.fold(Ok(()), Result::and)
    }

    /// Reads bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`](crate::Error::Failed) when the buffer ends before.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        if let Some(shared) = &self.shared {
            let start = self.start(offset, bytes.len())?;
            let shared = shared.read().unwrap_or_else(PoisonError::into_inner);
            shared.copy_out(start, bytes);
            return Ok(());
        }
        for (piece, offset) in self.pieces(offset, bytes.len()) {
            let request = Request::Read {
                buffer: self.number,
                offset,
                size: size(piece.len()),
            };
            let read = self.executor.bytes(&request, piece.len())?;
            bytes[piece].copy_from_slice(&read);
        }
        Ok(())
    }

    /// Where bytes of a shared buffer are that it has; fails as the executor would.
    fn start(&self, offset: u64, n_bytes: usize) -> Result<usize> {
        let end = offset.checked_add(size(n_bytes));
        let start = end.filter(|&end| end <= self.size).map(|_| offset);
        let start = start.and_then(|start| usize::try_from(start).ok());
        start.ok_or_else(|| {
            Error::Failed(Failure {
                kind: ErrorKind::UnknownBuffer,
                message: format!(
                    "{n_bytes} bytes at {offset} of a buffer of {} bytes: it ends before",
                    self.size
                ),
            })
        })
    }

    /// Ranges of what is to be moved, and where each is in the buffer.
    pub(crate) fn pieces(
        &self,
        offset: u64,
        n_bytes: usize,
    ) -> impl Iterator<Item = (std::ops::Range<usize>, u64)> {
        let limit =
            usize::try_from(self.executor.shared.channel.peer_limit()).unwrap_or(usize::MAX);
        // A head of a few bytes goes with each.
        let chunk = Self::CHUNK.min(limit / 2).max(1);
        (0..n_bytes).step_by(chunk).map(move |start| {
            let piece = start..n_bytes.min(start + chunk);
            (piece, offset.saturating_add(size(start)))
        })
    }
}

impl Drop for RemoteBuffer {
    fn drop(&mut self) {
        let request = Request::Free {
            buffer: self.number,
        };
        self.executor.send_and_forget(&request);
    }
}
