//! A payload: a request's id, the message's head, its body.
//!
//! The head is postcard; the body is raw bytes, all that is left of the payload. So an image or a
//! buffer is neither copied into an encoding nor out of one.

use serde::{Deserialize, Serialize};

use crate::{Error, LENGTH_SIZE, Request, Result};

/// The number of [`Request::Cancel`] among the requests.
const CANCEL: u32 = 15;

/// The id of a response that belongs to no request, because none could be read.
pub const NO_REQUEST: u64 = 0;

/// The first id of an executor's own requests, by which shipped code calls a controller back. A controller's ids are below.
pub const FIRST_CALLBACK: u64 = 1 << 63;

/// The longest head, in bytes. It bounds the memory that lists in a head take, which is more than
/// their encoding's.
pub const HEAD_LIMIT: usize = 1 << 20;

/// A payload, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Received<'data, M> {
    /// The request's id: chosen by the controller, repeated in the response.
    pub id: u64,
    /// The message.
    pub message: M,
    /// The raw bytes that follow it.
    pub body: &'data [u8],
}

/// Appends to `out` the start of a frame: all but its body, which is to follow it.
///
/// `limit` is the longest payload that the receiver takes, in bytes. On an error nothing is
/// appended.
///
/// # Errors
///
/// [`Error::FrameTooLong`] or [`Error::HeadTooLong`].
pub fn encode<M: Serialize>(
    out: &mut Vec<u8>,
    id: u64,
    message: &M,
    body_size: usize,
    limit: u32,
) -> Result<()> {
    let frame = out.len();
    out.extend_from_slice(&[0; LENGTH_SIZE]);
    append(out, &(id, message));
    if out.len() - frame - LENGTH_SIZE > HEAD_LIMIT {
        out.truncate(frame);
        return Err(Error::HeadTooLong { limit: HEAD_LIMIT });
    }
    set_length(out, frame, body_size, limit)
}

/// Reads a payload.
///
/// # Errors
///
/// [`Error::Malformed`] when it does not start with an `M`.
pub fn decode<'data, M: Deserialize<'data>>(payload: &'data [u8]) -> Result<Received<'data, M>> {
    let head = &payload[..payload.len().min(HEAD_LIMIT)];
    let ((id, message), rest) = postcard::take_from_bytes(head).map_err(|_| Error::Malformed {
        length: payload.len(),
    })?;
    Ok(Received {
        id,
        message,
        body: &payload[head.len() - rest.len()..],
    })
}

/// Reads the id of a payload, and no more.
///
/// # Errors
///
/// [`Error::Malformed`] when it does not start with one.
pub fn decode_id(payload: &[u8]) -> Result<u64> {
    let id = postcard::take_from_bytes(payload);
    id.map(|(id, _)| id).map_err(|_| Error::Malformed {
        length: payload.len(),
    })
}

/// The id that a payload asks to be cancelled, if that is what it is, without reading the rest of it.
#[must_use]
pub fn decode_cancel(payload: &[u8]) -> Option<u64> {
    let ((_, variant), _) = postcard::take_from_bytes::<(u64, u32)>(payload).ok()?;
    if variant != CANCEL {
        return None;
    }
    match decode(payload).ok()?.message {
        Request::Cancel { id } => Some(id),
        _ => None,
    }
}

/// Appends the encoding of `value`.
pub(crate) fn append<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    let encoded = postcard::to_extend(value, std::mem::take(out));
    *out = encoded.expect("encoding to memory does not fail");
}

/// Sets the length of the frame that starts at `frame`, of which `body_size` bytes are to follow.
pub(crate) fn set_length(
    out: &mut Vec<u8>,
    frame: usize,
    body_size: usize,
    limit: u32,
) -> Result<()> {
    let start = frame + LENGTH_SIZE;
    let length = (out.len() - start).saturating_add(body_size);
    match u32::try_from(length) {
        Ok(length) if length <= limit => {
            out[frame..start].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        _ => {
            out.truncate(frame);
            Err(Error::FrameTooLong {
                length: u64::try_from(length).unwrap_or(u64::MAX),
                limit,
            })
        }
    }
}
