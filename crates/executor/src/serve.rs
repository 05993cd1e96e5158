//! Serving one connection: frames in, answers out.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use farcall_image::Machine;
use farcall_protocol::{
    DEFAULT_FRAME_LIMIT, Deframer, ErrorKind, Failure, HELLO_LIMIT, Hello, NO_REQUEST, Received,
    Request, Response, Value, decode, encode,
};

use crate::memory::Buffers;
use crate::modules::Modules;
use crate::{Error, Result};

/// A body up to this size, in bytes, is copied behind its head and written with it; a longer one
/// is written by itself.
const SMALL_BODY: usize = 16 << 10;

/// The longest message of a failure, in bytes: one that names thousands of symbols tells no more
/// than one that names a thousand.
const MAX_MESSAGE_SIZE: usize = 256 << 10;

/// How an executor serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The longest payload of a frame that it takes, in bytes; also the most that the buffers of
    /// one call take.
    pub frame_limit: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frame_limit: DEFAULT_FRAME_LIMIT,
        }
    }
}

/// What an executor has loaded, and the way to serve it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Service {
    modules: Arc<Modules>,
    options: Options,
}

impl Service {
    /// A service with nothing loaded.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            modules: Arc::default(),
            options,
        }
    }

    /// Serves a connection until the controller ends it. Calls run on this thread.
    ///
    /// # Errors
    ///
    /// When the connection fails, is cut in the middle of a frame, or brings what is not the
    /// protocol. The service goes on for other connections.
    pub fn serve(&self, reader: &mut dyn Read, writer: &mut dyn Write) -> Result<()> {
        let mut output = Vec::new();
        let hello = Hello {
            software: concat!("farcall ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: Machine::host().map_or("", Machine::name).to_owned(),
            features: farcall_loader::cpu::features().bits(),
            frame_limit: self.options.frame_limit,
            modules: self.modules.announced(),
        };
        hello.encode(&mut output)?;
        writer.write_all(&output)?;

        let mut deframer = Deframer::new(HELLO_LIMIT);
        let mut peer_limit = HELLO_LIMIT;
        let served = self.converse(reader, writer, &mut deframer, &mut peer_limit);
        if let Err(Error::Protocol(error)) = &served {
            // The last word, for a controller that still listens. Whether it arrives is not known.
            let kind = match error {
                farcall_protocol::Error::FrameTooLong { .. } => ErrorKind::TooLong,
                _ => ErrorKind::Malformed,
            };
            let failure = Failure {
                kind,
                message: error.to_string(),
            };
            let _ = respond(
                writer,
                NO_REQUEST,
                &Response::Failed(failure),
                &[],
                peer_limit,
            );
        }
        served
    }

    /// Unloads all modules that are not in a call, newest first, running their destructors.
    pub fn unload_all(&self) {
        self.modules.unload_all();
    }

    fn converse(
        &self,
        reader: &mut dyn Read,
        writer: &mut dyn Write,
        deframer: &mut Deframer,
        peer_limit: &mut u32,
    ) -> Result<()> {
        let Some(payload) = next_payload(deframer, reader)? else {
            return Ok(());
        };
        let hello = Hello::decode(payload)?;
        *peer_limit = hello.frame_limit;
        tracing::debug!("a controller: {}", hello.software);

        deframer.set_limit(self.options.frame_limit);
        while let Some(payload) = next_payload(deframer, reader)? {
            let request: Received<'_, Request<'_>> = decode(payload)?;
            let id = request.id;
            // A bug of ours in one request is that request's failure alone.
            let answered = catch_unwind(AssertUnwindSafe(|| self.answer(request)));
            let answer = answered.unwrap_or_else(|_| {
                Err(Failure {
                    kind: ErrorKind::Internal,
                    message: "a bug of the executor: its log has more".to_owned(),
                })
            });
            match answer {
                Ok((response, body)) => respond(writer, id, &response, &body, *peer_limit)?,
                Err(mut failure) => {
                    tracing::debug!("request {id}: {failure}");
                    shorten(&mut failure.message);
                    respond(writer, id, &Response::Failed(failure), &[], *peer_limit)?;
                }
            }
        }
        Ok(())
    }

    /// Does what is asked, and gives the response with its body.
    fn answer(&self, request: Received<'_, Request<'_>>) -> Result<(Response, Vec<u8>), Failure> {
        let body = request.body;
        let takes_body = match &request.message {
            Request::Load { .. } | Request::Call { .. } => true,
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
        let response = match request.message {
            Request::Load {
                digest,
                size,
                name,
                scope,
            } => self.load(digest, size, name, scope.as_deref(), body)?,
            Request::Define {
                name,
                value_type,
                definition,
            } => Response::Defined {
                address: self.modules.define(name, value_type, definition, body)?,
            },
            Request::Lookup { module, name } => Response::Found(self.modules.lookup(module, name)?),
            Request::Call {
                module,
                function,
                signature,
                arguments,
            } => {
                let buffers = Buffers::new(&arguments, body, self.options.frame_limit)?;
                let (value, body) =
                    (self.modules).call(module, function, signature, &arguments, buffers)?;
                let value = wire_value(value);
                return Ok((Response::Returned { value }, body));
            }
            Request::Unload { module } => {
                self.modules.unload(module)?;
                Response::Unloaded
            }
            Request::List { skip } => {
                let (modules, n_total) = self.modules.list(skip);
                Response::Modules { modules, n_total }
            }
            Request::Ping => Response::Pong,
        };
        Ok((response, Vec::new()))
    }

    fn load(
        &self,
        digest: farcall_image::Digest,
        size: u64,
        name: &str,
        scope: Option<&[farcall_image::Digest]>,
        body: &[u8],
    ) -> Result<Response, Failure> {
        if size > self.options.frame_limit.into() {
            return Err(Failure {
                kind: ErrorKind::Image,
                message: format!(
                    "{digest}: an image of {size} bytes: longer than the limit of {} bytes",
                    self.options.frame_limit
                ),
            });
        }
        if body.is_empty() {
            return Ok(if self.modules.offer(digest, name)? {
                Response::Loaded { was_loaded: true }
            } else {
                Response::Needed
            });
        }
        if u64::try_from(body.len()) != Ok(size) {
            return Err(Failure {
                kind: ErrorKind::Malformed,
                message: format!("{digest}: {} bytes of an image of {size}", body.len()),
            });
        }
        let was_loaded = self.modules.load(digest, body, name, scope)?;
        Ok(Response::Loaded { was_loaded })
    }
}

/// The next payload, `None` at the end of the stream.
///
/// # Errors
///
/// As [`Deframer::next_frame`]; [`Error::Closed`] when the stream ends in the middle of a frame.
pub(crate) fn next_payload<'deframer>(
    deframer: &'deframer mut Deframer,
    reader: &mut dyn Read,
) -> Result<Option<&'deframer [u8]>> {
    while !deframer.has_frame()? {
        match reader.read(deframer.space()) {
            Ok(0) if deframer.is_in_frame() => return Err(Error::Closed { in_frame: true }),
            Ok(0) => return Ok(None),
            Ok(n_bytes) => deframer.filled(n_bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(deframer.next_frame()?)
}

/// Writes a frame that `head` starts and `body` ends.
pub(crate) fn write_frame(
    writer: &mut dyn Write,
    mut head: Vec<u8>,
    body: &[&[u8]],
) -> io::Result<()> {
    let size = body.iter().map(|part| part.len()).sum::<usize>();
    if size <= SMALL_BODY {
        body.iter().for_each(|part| head.extend_from_slice(part));
        writer.write_all(&head)?;
    } else {
        writer.write_all(&head)?;
        body.iter().try_for_each(|part| writer.write_all(part))?;
    }
    writer.flush()
}

fn respond(
    writer: &mut dyn Write,
    id: u64,
    response: &Response,
    body: &[u8],
    limit: u32,
) -> Result<()> {
    let mut head = Vec::new();
    if let Err(error) = encode(&mut head, id, response, body.len(), limit) {
        // The controller does not take as much as it asked for: a failure of this request alone.
        let failure = Response::Failed(Failure {
            kind: ErrorKind::Memory,
            message: format!("response: {error}"),
        });
        encode(&mut head, id, &failure, 0, limit)?;
        return Ok(write_frame(writer, head, &[])?);
    }
    Ok(write_frame(writer, head, &[body])?)
}

/// Cuts `message` to [`MAX_MESSAGE_SIZE`], saying so.
fn shorten(message: &mut String) {
    let end = message.floor_char_boundary(MAX_MESSAGE_SIZE);
    let n_cut = message.len() - end;
    if n_cut > 0 {
        message.truncate(end);
        message.push_str(&format!("… ({n_cut} bytes more)"));
    }
}

fn wire_value(value: farcall_loader::invoke::Value) -> Value {
    use farcall_loader::invoke::Value as Loaders;
    match value {
        Loaders::Void => Value::Void,
        Loaders::Int { bits, value } => Value::Int { bits, value },
        Loaders::Float(value) => Value::Float(value),
        Loaders::Double(value) => Value::Double(value),
        Loaders::Pointer(value) => Value::Pointer(value),
    }
}
