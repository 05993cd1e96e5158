//! Memory in an executor that stays between calls.

use farcall_protocol::{Request, Response};

use crate::Result;
use crate::client::{Executor, out_of_place, size};

/// A buffer in an executor, for data that calls use more than once, or that is more than one frame takes. Dropping it frees it.
///
/// It is 64-byte aligned, belongs to its connection, and goes with it.
#[derive(Debug)]
pub struct RemoteBuffer {
    pub(crate) executor: Executor,
    pub(crate) number: u64,
    pub(crate) address: u64,
    pub(crate) size: u64,
}

impl RemoteBuffer {
    /// How much goes in one frame, so that others of the connection need not wait long.
    const CHUNK: usize = 1 << 20;

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

    /// Ranges of what is to be moved, and where each is in the buffer.
    fn pieces(
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
