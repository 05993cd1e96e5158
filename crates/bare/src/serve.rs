//! Serving one connection: steps in, outcomes out.

use std::ffi::c_void;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farcall_protocol::{
    Argument, BareHello, Deframer, ErrorKind, Failure, HELLO_LIMIT, NO_REQUEST, Outcome, Outcomes,
    Received, Step, decode, encode,
};

use crate::call::{self, take};
use crate::memory::{Inside, Memory, failure, number};
use crate::symbols::Symbols;

/// How a bare executor serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The longest payload of a frame that it takes, in bytes; also the most that the buffers of one request take.
    pub frame_limit: u32,
    /// The most address space that it reserves at a time, in bytes.
    pub memory_limit: u64,
    /// Libraries to look for symbols in, after all that the process has loaded; opened when they are first needed, and
    /// kept open.
    pub libraries: Vec<String>,
}

impl Default for Options {
    /// Frames of 16 MiB, 64 GiB of address space, no libraries.
    fn default() -> Self {
        Self {
            frame_limit: 16 << 20,
            memory_limit: 64 << 30,
            libraries: Vec::new(),
        }
    }
}

/// Why a connection has ended before its controller ended it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It failed, or was cut in the middle of a frame.
    Connection(io::Error),
    /// It brought what is not the protocol.
    Protocol(farcall_protocol::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "connection: {error}"),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<farcall_protocol::Error> for Error {
    fn from(error: farcall_protocol::Error) -> Self {
        Self::Protocol(error)
    }
}

/// The memory and the symbols of this process, and the way to serve them. Clones share the memory.
#[derive(Debug, Clone)]
pub struct Service {
    memory: Arc<Memory>,
    symbols: Arc<Symbols>,
    frame_limit: u32,
    n_connections: Arc<AtomicU64>,
}

impl Service {
    /// A service with nothing reserved.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self::with_symbols(options, [])
    }

    /// A service that finds these names first, at these addresses: for a process that exports nothing, such as one that
    /// is linked statically.
    #[must_use]
    pub fn with_symbols(
        options: Options,
        symbols: impl IntoIterator<Item = (String, *const c_void)>,
    ) -> Self {
        let mut all = Symbols::new(options.libraries);
        for (name, address) in symbols {
            all.offer(name, number(address.expose_provenance()));
        }
        Self {
            memory: Arc::new(Memory::new(options.memory_limit)),
            symbols: Arc::new(all),
            frame_limit: options.frame_limit,
            n_connections: Arc::default(),
        }
    }

    /// Serves a connection until the controller ends it. Calls run on this thread; any number of threads may serve.
    ///
    /// What the controller has reserved and not protected any page of is given back at the end.
    ///
    /// # Errors
    ///
    /// When the connection fails, is cut in the middle of a frame, or brings what is not the protocol. The service goes on
    /// for other connections.
    pub fn serve(&self, reader: &mut dyn Read, writer: &mut dyn Write) -> Result<(), Error> {
        let connection = self.n_connections.fetch_add(1, Ordering::Relaxed);
        let mut peer_limit = HELLO_LIMIT;
        let served = self.converse(reader, writer, connection, &mut peer_limit);
        self.memory.end_of(connection);
        if let Err(Error::Protocol(error)) = &served {
            // The last word, for a controller that still listens. Whether it arrives is not known.
            let kind = match error {
                farcall_protocol::Error::FrameTooLong { .. } => ErrorKind::TooLong,
                _ => ErrorKind::Malformed,
            };
            let outcomes = Outcomes {
                done: Vec::new(),
                failure: Some(failure(kind, error.to_string())),
            };
            let _ = respond(writer, NO_REQUEST, &outcomes, &[], peer_limit);
        }
        served
    }

    fn converse(
        &self,
        reader: &mut dyn Read,
        writer: &mut dyn Write,
        connection: u64,
        peer_limit: &mut u32,
    ) -> Result<(), Error> {
        let mut output = Vec::new();
        let hello = BareHello {
            software: concat!("farcall-bare ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: std::env::consts::ARCH.to_owned(),
            features: farcall_native::cpu::features().bits(),
            frame_limit: self.frame_limit,
            page_size: number(self.memory.page_size()),
        };
        hello.encode(&mut output)?;
        writer.write_all(&output)?;
        writer.flush()?;

        let mut deframer = Deframer::new(HELLO_LIMIT);
        let Some(payload) = next_payload(&mut deframer, reader)? else {
            return Ok(());
        };
        *peer_limit = BareHello::decode(payload)?.frame_limit;
        deframer.set_limit(self.frame_limit);
        while let Some(payload) = next_payload(&mut deframer, reader)? {
            let request: Received<'_, Vec<Step<'_>>> = decode(payload)?;
            let mut body = Vec::new();
            let outcomes = self.answer(connection, &request.message, request.body, &mut body);
            respond(writer, request.id, &outcomes, &body, *peer_limit)?;
        }
        Ok(())
    }

    /// Does the steps in order, until one fails.
    fn answer(
        &self,
        connection: u64,
        steps: &[Step<'_>],
        mut body: &[u8],
        out: &mut Vec<u8>,
    ) -> Outcomes {
        let mut done = Vec::new();
        let failure = self.check(steps, body).err().or_else(|| {
            steps.iter().find_map(|step| {
                let outcome = self.step(connection, step, &mut body, out);
                outcome.map(|outcome| done.push(outcome)).err()
            })
        });
        Outcomes { done, failure }
    }

    /// Checks before anything is done that the body is as long as the steps say, and that the buffers are no longer than is
    /// taken.
    fn check(&self, steps: &[Step<'_>], body: &[u8]) -> Result<(), Failure> {
        let (mut sent, mut buffers) = (0_u64, 0_u64);
        for step in steps {
            match step {
                Step::Write { size, .. } => sent = sent.saturating_add(*size),
                Step::Call { arguments, .. } => {
                    for argument in arguments {
                        let (more_sent, more) = match *argument {
                            Argument::In { size } | Argument::InOut { size } => (size, size),
                            Argument::Out { size } => (0, size),
                            _ => (0, 0),
                        };
                        sent = sent.saturating_add(more_sent);
                        buffers = buffers.saturating_add(more);
                    }
                }
                _ => {}
            }
        }
        if sent != number(body.len()) {
            let message = format!("a body of {} bytes where {sent} belong", body.len());
            return Err(failure(ErrorKind::Malformed, message));
        }
        if buffers > self.frame_limit.into() {
            let limit = self.frame_limit;
            let message = format!("buffers of a call: more than the limit of {limit} bytes");
            return Err(failure(ErrorKind::Memory, message));
        }
        Ok(())
    }

    fn step(
        &self,
        connection: u64,
        step: &Step<'_>,
        body: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Failure> {
        match step {
            Step::Reserve { size, align } => {
                let address = self.memory.reserve(connection, *size, *align)?;
                return Ok(Outcome::Reserved { address });
            }
            Step::Lookup { names } => {
                let addresses = names.iter().map(|name| self.symbols.find(name)).collect();
                return Ok(Outcome::Symbols { addresses });
            }
            Step::Write { address, size } => {
                let bytes = take(body, *size)?;
                self.memory.write(*address, bytes)?;
            }
            Step::Protect {
                address,
                size,
                access,
            } => self.memory.protect(*address, *size, *access)?,
            Step::Run { functions } => {
                for &function in functions {
                    let _inside = self.enter(function)?;
                    call::run(function);
                }
            }
            Step::Resolve { functions } => {
                let resolve = |&function: &u64| {
                    let _inside = self.enter(function)?;
                    Ok(call::choose(function))
                };
                let addresses = functions.iter().map(resolve).collect::<Result<_, _>>()?;
                return Ok(Outcome::Symbols { addresses });
            }
            Step::Call {
                function,
                result,
                arguments,
            } => {
                let _inside = self.enter(*function)?;
                let bits = call::call(*function, *result, arguments, body, out)?;
                return Ok(Outcome::Returned { bits });
            }
            Step::Free { address } => self.memory.free(*address)?,
        }
        Ok(Outcome::Done)
    }

    /// Keeps the code at `address` in place while it is called; nothing keeps this process's own.
    fn enter(&self, address: u64) -> Result<Option<Inside<'_>>, Failure> {
        let inside = self.memory.enter(address);
        if inside.is_none() && !self.symbols.has_told(address) {
            let message = format!("{address:#x}: neither in executable pages nor looked up");
            return Err(failure(ErrorKind::Arguments, message));
        }
        Ok(inside)
    }
}

/// The next payload, `None` at the end of the stream.
fn next_payload<'deframer>(
    deframer: &'deframer mut Deframer,
    reader: &mut dyn Read,
) -> Result<Option<&'deframer [u8]>, Error> {
    while !deframer.has_frame()? {
        match reader.read(deframer.space()) {
            Ok(0) if deframer.is_in_frame() => {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            Ok(0) => return Ok(None),
            Ok(n_bytes) => deframer.filled(n_bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(deframer.next_frame()?)
}

fn respond(
    writer: &mut dyn Write,
    id: u64,
    outcomes: &Outcomes,
    body: &[u8],
    limit: u32,
) -> Result<(), Error> {
    let mut frame = Vec::new();
    match encode(&mut frame, id, outcomes, body.len(), limit) {
        Ok(()) => frame.extend_from_slice(body),
        Err(error) => {
            // The controller does not take as much as it asked for: a failure of this request alone.
            let message = format!("response: {error}");
            let outcomes = Outcomes {
                done: Vec::new(),
                failure: Some(failure(ErrorKind::Memory, message)),
            };
            encode(&mut frame, id, &outcomes, 0, limit)?;
        }
    }
    writer.write_all(&frame)?;
    writer.flush()?;
    Ok(())
}
