//! Frames: a length, then that many bytes.

use std::ops::{Deref, Range};

use crate::{Error, Result};

/// Size in bytes of the length that a frame starts with: a little-endian `u32` that does not count
/// itself.
pub const LENGTH_SIZE: usize = 4;

/// The longest payload taken unless something else is asked for, in bytes.
pub const DEFAULT_FRAME_LIMIT: u32 = 1 << 30;

/// Room for received bytes to start with: a connection that says little takes little.
const FIRST: usize = 1 << 10;

/// The most room that is kept between frames.
const SMALL: usize = 64 << 10;

/// Finds frames in a stream of bytes.
///
/// The memory it takes follows the bytes that have arrived, not the length that a frame announces:
/// at most twice the bytes received, and 64 KiB.
///
/// ```
/// # use farcall_protocol::Deframer;
/// # use std::io::Read;
/// # fn connection() -> &'static [u8] { &[2, 0, 0, 0, b'h', b'i'] }
/// let mut connection = connection();
/// let mut deframer = Deframer::new(1 << 20);
/// while deframer.next_frame()?.is_none() {
///     let n_read = connection.read(deframer.space())?;
///     deframer.filled(n_read);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Deframer {
    /// Received bytes are `buffer[start..end]`; `start <= end <= buffer.len()`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    limit: u32,
}

/// A frame that was received: its payload.
#[derive(Debug, Default)]
pub struct Frame {
    /// The payload is `bytes[payload]`.
    bytes: Vec<u8>,
    payload: Range<usize>,
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.payload.clone()]
    }
}

impl Deframer {
    /// A deframer that takes payloads of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            limit,
        }
    }

    /// Takes payloads of up to `limit` bytes from the next frame on.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// The payload of the next frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooLong`] once its length has arrived. The stream cannot be followed any
    /// further.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>> {
        let Some(end) = self.frame_end()? else {
            return Ok(None);
        };
        let start = self.start + LENGTH_SIZE;
        self.start = end;
        Ok(Some(&self.buffer[start..end]))
    }

    /// The next frame as its own, or `None` when more bytes are needed. A small one is copied, a large one takes the memory
    /// that it came in with it.
    ///
    /// # Errors
    ///
    /// As [`Deframer::next_frame`].
    pub fn take_frame(&mut self) -> Result<Option<Frame>> {
        let Some(end) = self.frame_end()? else {
            return Ok(None);
        };
        let payload = self.start + LENGTH_SIZE..end;
        self.start = end;
        if payload.len() <= SMALL {
            let bytes = self.buffer[payload].to_vec();
            let payload = 0..bytes.len();
            return Ok(Some(Frame { bytes, payload }));
        }
        let rest = self.buffer[end..self.end].to_vec();
        let bytes = std::mem::replace(&mut self.buffer, rest);
        (self.start, self.end) = (0, self.buffer.len());
        Ok(Some(Frame { bytes, payload }))
    }

    /// The payload of the next frame, which stays the next one, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// As [`Deframer::next_frame`].
    pub fn peek(&self) -> Result<Option<&[u8]>> {
        let end = self.frame_end()?;
        Ok(end.map(|end| &self.buffer[self.start + LENGTH_SIZE..end]))
    }

    /// Whether [`Deframer::next_frame`] has a frame to give.
    ///
    /// # Errors
    ///
    /// As [`Deframer::next_frame`].
    pub fn has_frame(&self) -> Result<bool> {
        Ok(self.frame_end()?.is_some())
    }

    /// Room for more bytes; never empty. Say with [`Deframer::filled`] how much was used.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > SMALL {
                // One large frame shall not hold its memory for the rest of the connection.
                self.buffer = Vec::new();
            }
        }
        if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            let doubled = self.buffer.len().saturating_mul(2).max(FIRST);
            let needed = match self.next_length() {
                // `next_length` gives none that is too large for the sum.
                Ok(Some(length)) => LENGTH_SIZE + length,
                _ => SMALL,
            };
            let more = self.buffer.len().saturating_add(SMALL);
            self.buffer.resize(needed.max(more).min(doubled), 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Says that the first `n_bytes` of [`Deframer::space`] have been received.
    ///
    /// # Panics
    ///
    /// If that is more than `space` gave.
    pub fn filled(&mut self, n_bytes: usize) {
        assert!(n_bytes <= self.buffer.len() - self.end, "more than space()");
        self.end += n_bytes;
    }

    /// Whether part of a frame has arrived: a stream that ends here is cut short.
    #[must_use]
    pub fn is_in_frame(&self) -> bool {
        self.start != self.end
    }

    /// Where the next frame ends in `buffer`, once it is there: at most at `end`.
    fn frame_end(&self) -> Result<Option<usize>> {
        let received = self.end - self.start;
        let size = self.next_length()?.map(|length| LENGTH_SIZE + length);
        Ok(size
            .filter(|&size| size <= received)
            .map(|size| self.start + size))
    }

    /// The length of the payload of the next frame, once it is known.
    fn next_length(&self) -> Result<Option<usize>> {
        let Some(length) = self.buffer[self.start..self.end].first_chunk() else {
            return Ok(None);
        };
        // Of an alert or a handshake, of any version of TLS (RFC 8446, 5.1).
        let is_tls = matches!(length, [21 | 22, 3, 0..=4, _]);
        let length = u32::from_le_bytes(*length);
        let too_long = Error::FrameTooLong {
            length: length.into(),
            limit: self.limit,
        };
        if length > self.limit {
            return Err(if is_tls { Error::Tls } else { too_long });
        }
        // The end of a frame of this length has to be a number too.
        let length = usize::try_from(length).ok();
        let length = length.filter(|&length| length <= usize::MAX / 2);
        length.map(Some).ok_or(too_long)
    }
}
