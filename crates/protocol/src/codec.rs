//! A payload: a request's id, the message's head, its body.
//!
//! The head is postcard; the body is raw bytes, all that is left of the payload. So an image or a
//! buffer is neither copied into an encoding nor out of one.

use serde::{Deserialize, Serialize};

use crate::{Error, Form, LENGTH_SIZE, Request, Result};

/// The numbers of [`Request::Load`], [`Request::Allocate`], [`Request::Fork`], [`Request::Share`] and [`Request::Dock`]: a file may come with these.
const MAY_HAVE_FILE: [u8; 5] = [0, 9, 17, 20, 25];

/// The number of [`Request::Cancel`] among the requests.
const CANCEL: u64 = 15;

/// The number of [`Request::Within`].
const WITHIN: u64 = 23;

/// The number of [`Response::CallBack`](crate::Response::CallBack) among the responses.
const CALL_BACK: u64 = 15;

/// The number of [`Response::Failed`](crate::Response::Failed).
const FAILED: u64 = 7;

/// The id of a response that belongs to no request, because none could be read.
pub const NO_REQUEST: u64 = 0;

/// The first id of an executor's own requests, by which shipped code calls a controller back. A controller's ids are below.
pub const FIRST_CALLBACK: u64 = 1 << 63;

/// The longest head, in bytes. It bounds the memory that lists in a head take, which is more than
/// their encoding's.
pub const HEAD_LIMIT: usize = 1 << 20;

/// What the start of a frame usually takes at most, in bytes.
const SMALL: usize = 64;

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
    // What most take, so that it is taken once.
    out.reserve(SMALL);
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

/// Appends to `out` the start of a frame that passes on a payload under another id. Gives what is to follow it.
///
/// # Errors
///
/// [`Error::Malformed`] when the payload does not start with an id, [`Error::FrameTooLong`].
pub fn encode_again<'data>(
    out: &mut Vec<u8>,
    id: u64,
    payload: &'data [u8],
    limit: u32,
) -> Result<&'data [u8]> {
    let (_, rest) = postcard::take_from_bytes::<u64>(payload).map_err(|_| Error::Malformed {
        length: payload.len(),
    })?;
    let frame = out.len();
    out.extend_from_slice(&[0; LENGTH_SIZE]);
    append(out, &id);
    set_length(out, frame, rest.len(), limit)?;
    Ok(rest)
}

/// What is to be known of a payload before its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Its id.
    pub id: u64,
    /// The id of the other side's request that waits for what this one asks for: [`Request::Within`] and [`Response::CallBack`] say it.
    ///
    /// [`Response::CallBack`]: crate::Response::CallBack
    pub within: Option<u64>,
    /// The id that it asks to be cancelled.
    pub cancels: Option<u64>,
    /// Whether a file comes with it.
    pub has_file: bool,
}

impl Envelope {
    /// Reads it of a payload, without reading all of that. `by_executor` says who sent it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] when it does not start with an id.
    pub fn decode(payload: &[u8], by_executor: bool) -> Result<Self> {
        let id = postcard::take_from_bytes(payload);
        let (id, rest) = id.map_err(|_| Error::Malformed {
            length: payload.len(),
        })?;
        // What is wrong with the rest is said in its turn.
        let (within, rest) = match number(rest) {
            Some((CALL_BACK, rest)) if by_executor => (number(rest), rest),
            Some((WITHIN, rest)) if !by_executor => {
                let within = number(rest);
                (within, within.map_or(rest, |(_, rest)| rest))
            }
            _ => (None, rest),
        };
        let cancels = match number(rest) {
            Some((CANCEL, rest)) if !by_executor => number(rest),
            _ => None,
        };
        Ok(Self {
            id,
            within: within.map(|(id, _)| id).filter(|&id| id != NO_REQUEST),
            cancels: cancels.map(|(id, _)| id),
            has_file: !by_executor && may_have_file(rest) && comes_with_file(payload),
        })
    }
}

/// Whether a payload is a response which says that its request has failed. Nothing else of it is read.
#[must_use]
pub fn is_failure(payload: &[u8]) -> bool {
    let response = number(payload).and_then(|(_, rest)| number(rest));
    response.is_some_and(|(response, _)| response == FAILED)
}

fn may_have_file(rest: &[u8]) -> bool {
    rest.first()
        .is_some_and(|first| MAY_HAVE_FILE.contains(first))
}

fn comes_with_file(payload: &[u8]) -> bool {
    let request = decode_request(payload).map(|(received, _)| received.message);
    matches!(
        request,
        Ok(Request::Load {
            form: Form::File,
            ..
        } | Request::Allocate { shared: true, .. }
            | Request::Fork { .. }
            | Request::Share
            | Request::Dock)
    )
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    postcard::take_from_bytes(bytes).ok()
}

/// Reads a request, also one [within](Request::Within) another, of which it gives the other's id too.
///
/// # Errors
///
/// [`Error::Malformed`] when the payload does not start with a request, or with one within one that is within one.
pub fn decode_request(payload: &[u8]) -> Result<(Received<'_, Request<'_>>, Option<u64>)> {
    let received = decode::<Request<'_>>(payload)?;
    let Request::Within { callback } = received.message else {
        return Ok((received, None));
    };
    let malformed = Error::Malformed {
        length: payload.len(),
    };
    let head = &received.body[..received.body.len().min(HEAD_LIMIT)];
    match postcard::take_from_bytes(head) {
        Ok((Request::Within { .. }, _)) | Err(_) => Err(malformed),
        Ok((message, rest)) => {
            let body = &received.body[head.len() - rest.len()..];
            let id = received.id;
            Ok((Received { id, message, body }, Some(callback)))
        }
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
