//! Buffers that a controller has allocated, for its calls.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farcall_protocol::{Argument, ErrorKind, Failure};

use crate::exec;
use crate::memory::{Memory, number};
use crate::shared::Mapping;

/// The most buffers of a connection.
const MOST_BUFFERS: usize = 1 << 16;

/// The buffers of one connection.
#[derive(Debug)]
pub(crate) struct RemoteBuffers {
    by_number: Mutex<HashMap<u64, Arc<Buffer>>>,
    last: AtomicU64,
    /// The most that all of them take, in bytes.
    limit: u64,
}

/// A buffer. Calls may write to it at any time, so that its bytes are only copied.
#[derive(Debug)]
pub(crate) struct Buffer {
    place: Place,
    size: u64,
}

/// Where a buffer is.
#[derive(Debug)]
pub(crate) enum Place {
    Own(Memory),
    /// The controller has it too.
    Shared(Mapping),
}

impl Place {
    fn address(&self) -> *mut u8 {
        match self {
            Self::Own(memory) => memory.address(),
            Self::Shared(mapping) => mapping.address(),
        }
    }
}

impl RemoteBuffers {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            by_number: Mutex::default(),
            last: AtomicU64::new(0),
            limit,
        }
    }

    /// A new buffer of zeros, or a file in memory as a buffer: its number and address.
    pub(crate) fn allocate(&self, size: u64, file: Option<OwnedFd>) -> Result<(u64, u64), Failure> {
        let mut buffers = self.lock();
        let taken: u64 = buffers.values().map(|buffer| buffer.size).sum();
        let fits = taken.checked_add(size).is_some_and(|all| all <= self.limit);
        if !fits || buffers.len() >= MOST_BUFFERS {
            return Err(Failure {
                kind: ErrorKind::Memory,
                message: format!(
                    "a buffer of {size} bytes: the buffers of this connection have {taken} of {} bytes",
                    self.limit
                ),
            });
        }
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        let place = match file {
            None => Place::Own(Memory::zeroed(length)?),
            Some(file) => {
                let mapping = Mapping::open(file.as_fd(), |size| size == length);
                Place::Shared(mapping.map_err(|error| Failure {
                    kind: ErrorKind::Memory,
                    message: format!("a buffer of {size} bytes: {error}"),
                })?)
            }
        };
        let address = number(place.address().expose_provenance());
        let buffer = 1 + self.last.fetch_add(1, Ordering::Relaxed);
        buffers.insert(buffer, Arc::new(Buffer { place, size }));
        Ok((buffer, address))
    }

    pub(crate) fn get(&self, buffer: u64) -> Result<Arc<Buffer>, Failure> {
        let found = self.lock().get(&buffer).cloned();
        found.ok_or_else(|| unknown(buffer))
    }

    /// Frees a buffer once no call uses it.
    pub(crate) fn free(&self, buffer: u64) -> Result<(), Failure> {
        let freed = self.lock().remove(&buffer);
        freed.map(drop).ok_or_else(|| unknown(buffer))
    }

    /// The buffers among a call's arguments, each with the address that is passed.
    pub(crate) fn of(&self, arguments: &[Argument]) -> Result<Vec<(Arc<Buffer>, u64)>, Failure> {
        let buffers = arguments.iter().filter_map(|argument| match *argument {
            Argument::Buffer { buffer, offset } => Some((buffer, offset)),
            _ => None,
        });
        buffers
            .map(|(number, offset)| {
                let buffer = self.get(number)?;
                let address = buffer.at(offset, 0)?.expose_provenance();
                Ok((buffer, crate::memory::number(address)))
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Buffer>>> {
        (self.by_number.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let to = self.at(offset, number(bytes.len()))?;
        exec::copy_to(to, bytes, &self.place);
        Ok(())
    }

    pub(crate) fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Failure> {
        let from = self.at(offset, size)?;
        // Not larger than the buffer.
        let length = usize::try_from(size).unwrap_or(0);
        Ok(exec::copy_from(from, length, &self.place))
    }

    /// The address of `size` bytes of it.
    fn at(&self, offset: u64, size: u64) -> Result<*mut u8, Failure> {
        let end = offset.checked_add(size).filter(|&end| end <= self.size);
        let start = end.and_then(|_| usize::try_from(offset).ok());
        let start = start.ok_or_else(|| Failure {
            kind: ErrorKind::UnknownBuffer,
            message: format!(
                "{size} bytes at {offset} of a buffer of {} bytes: it ends before",
                self.size
            ),
        })?;
        Ok(self.place.address().wrapping_add(start))
    }
}

fn unknown(buffer: u64) -> Failure {
    Failure {
        kind: ErrorKind::UnknownBuffer,
        message: format!("no buffer of this connection has the number {buffer}"),
    }
}
