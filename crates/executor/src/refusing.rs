//! What an executor does not do, and what it says then.

use farcall_image::{Digest, Image, Machine};
use farcall_protocol::{ErrorKind, Failure, HELLO_LIMIT, NO_REQUEST, Request, Response, encode};

use crate::channel::{Channel, Haste};
use crate::serve::Shared;
use crate::{Error, Result};

/// The longest name of a module, in bytes.
const MAX_NAME_SIZE: usize = 256;

/// Whether a request is for something new, and so is refused by an executor that is stopping. What gives back what there is, or
/// asks about it, is not.
pub(crate) fn begins_something(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Load { .. }
            | Request::Define { .. }
            | Request::DefineOnFirstCall { .. }
            | Request::Lookup { .. }
            | Request::Prepare { .. }
            | Request::Call { .. }
            | Request::Allocate { .. }
            | Request::Share
            | Request::Dock
    )
}

/// Refuses a body where none belongs.
pub(crate) fn check_body(request: &Request<'_>, body: &[u8]) -> std::result::Result<(), Failure> {
    let takes_body = match request {
        Request::Load { .. }
        | Request::Call { .. }
        | Request::Write { .. }
        | Request::Poke { .. } => true,
        Request::Define { definition, .. } => {
            matches!(definition, farcall_protocol::Definition::Bytes)
        }
        _ => false,
    };
    if !takes_body && !body.is_empty() {
        return Err(Failure {
            kind: ErrorKind::Malformed,
            message: format!("a body of {} bytes where none belongs", body.len()),
        });
    }
    Ok(())
}

/// Reads an image that is for this machine, and is what its digest says if that is compared.
pub(crate) fn check_image<'data>(
    bytes: &'data [u8],
    compares: bool,
) -> farcall_image::Result<Image<'data>> {
    let image = Image::parse(bytes)?;
    if compares {
        image.verify_digest()?;
    }
    match Machine::host() {
        Some(expected) if image.machine() != expected => Err(farcall_image::Error::WrongMachine {
            found: image.machine(),
            expected,
        }),
        _ => Ok(image),
    }
}

/// Refuses an image that is longer than a frame may be.
pub(crate) fn check_limit(
    digest: Digest,
    size: u64,
    limit: u32,
) -> std::result::Result<(), Failure> {
    if size <= limit.into() {
        return Ok(());
    }
    Err(Failure {
        kind: ErrorKind::Image,
        message: format!(
            "{digest}: an image of {size} bytes: longer than the limit of {limit} bytes"
        ),
    })
}

/// Refuses an image of which there are not as many bytes as was said.
pub(crate) fn check_size(
    digest: Digest,
    bytes: &[u8],
    size: u64,
) -> std::result::Result<(), Failure> {
    if u64::try_from(bytes.len()) == Ok(size) {
        return Ok(());
    }
    Err(Failure {
        kind: ErrorKind::Malformed,
        message: format!("{digest}: {} bytes of an image of {size}", bytes.len()),
    })
}

/// Refuses a name of a module that is too long.
pub(crate) fn check_name(name: &str) -> std::result::Result<(), Failure> {
    if name.len() <= MAX_NAME_SIZE {
        return Ok(());
    }
    Err(Failure {
        kind: ErrorKind::Load,
        message: format!(
            "a module's name of {} bytes: longer than {MAX_NAME_SIZE}",
            name.len()
        ),
    })
}

/// Says why a connection is not served, in one write with the hello.
pub(crate) fn refuse(channel: &Channel, shared: &Shared, reason: Error) -> Result<()> {
    shared.counters.turn_away();
    let mut hello = Vec::new();
    shared.short_hello().encode(&mut hello)?;
    let mut failure = Vec::new();
    if let Some(last_word) = last_word(&reason) {
        let response = Response::Failed(last_word);
        encode(&mut failure, NO_REQUEST, &response, 0, HELLO_LIMIT)?;
    }
    channel.send(&hello, &[&failure], Haste::Now)?;
    Err(reason)
}

/// What is said to a controller before its connection is closed.
pub(crate) fn last_word(error: &Error) -> Option<Failure> {
    let kind = match error {
        Error::Protocol(farcall_protocol::Error::FrameTooLong { .. }) => ErrorKind::TooLong,
        Error::Protocol(_) => ErrorKind::Malformed,
        Error::NoHello | Error::TooMany { .. } => ErrorKind::NotServed,
        Error::Stopping => ErrorKind::Stopping,
        _ => return None,
    };
    let message = error.to_string();
    Some(Failure { kind, message })
}
