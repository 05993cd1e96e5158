//! Serving one connection: requests in, answers out.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farcall_image::Digest;
use farcall_loader::SealedFile;
use farcall_protocol::{
    Argument, Callee, ErrorKind, Failure, Form, Frame, Hello, NO_REQUEST, Order, Received, Request,
    Response, Value, decode, encode,
};

use crate::buffers::RemoteBuffers;
use crate::channel::{Channel, Event, Haste, Side};
use crate::memory::{Buffers, number};
use crate::modules::Function;
use crate::serve::{Counted, Shared};
use crate::transport::{Connection, Patience};
use crate::{Error, Result, exec};

/// The longest message of a failure, in bytes: one that names thousands of symbols tells no more
/// than one that names a thousand.
const MAX_MESSAGE_SIZE: usize = 256 << 10;

/// Functions that returned within this time the last time they were called are quick: answers wait for theirs.
const QUICK: Duration = Duration::from_micros(20);

/// After a request that took longer than this, what was sent meanwhile is looked through for such as are cancelled.
const SLOW: Duration = Duration::from_millis(1);

/// The most functions that a connection may have prepared.
const MOST_FUNCTIONS: usize = 1 << 16;

/// The most calls of a connection that run at the same time, or wait to.
const MOST_CONCURRENT: usize = 1024;

/// One controller's connection, and what belongs to it.
pub(crate) struct Peer {
    pub(crate) channel: Channel,
    shared: Arc<Shared>,
    state: Mutex<State>,
    buffers: RemoteBuffers,
}

#[derive(Default)]
struct State {
    functions: HashMap<u64, Arc<Prepared>>,
    last_function: u64,
    /// Requests that are not to be begun.
    cancelled: HashSet<u64>,
    /// Concurrent calls that have not ended; true once they have begun.
    concurrent: HashMap<u64, bool>,
}

/// A function that a controller has found.
struct Prepared {
    function: Function,
    /// Whether the last call took no time to speak of.
    is_quick: AtomicBool,
}

/// An answer, with its body.
type Answer = std::result::Result<(Response, Vec<u8>), Failure>;

impl Peer {
    /// Serves a connection to its end.
    pub(crate) fn serve(shared: &Arc<Shared>, connection: Connection) -> Result<()> {
        let patience = Patience::of(&connection)?;
        let peer = Arc::new(Self {
            channel: Channel::new(Side::Executor, connection),
            shared: Arc::clone(shared),
            state: Mutex::default(),
            buffers: RemoteBuffers::new(shared.options.buffer_limit),
        });
        let mut hello = Vec::new();
        shared.hello().encode(&mut hello)?;
        peer.channel.send(&hello, &[], Haste::Now)?;

        let served = peer.converse(patience);
        if let Err(Error::Protocol(error)) = &served {
            // The last word, for a controller that still listens. Whether it arrives is not known.
            let kind = match error {
                farcall_protocol::Error::FrameTooLong { .. } => ErrorKind::TooLong,
                _ => ErrorKind::Malformed,
            };
            let message = error.to_string();
            let failure = Response::Failed(Failure { kind, message });
            let _ = peer.respond(NO_REQUEST, &failure, &[], Haste::Now);
        }
        served
    }

    fn converse(self: &Arc<Self>, patience: Patience) -> Result<()> {
        let greeted = self
            .channel
            .greet(self.shared.options.frame_limit, |payload| {
                let hello = Hello::decode(payload)?;
                Ok((hello.software, hello.frame_limit))
            })?;
        drop(patience);
        let Some(software) = greeted else {
            return Ok(());
        };
        tracing::debug!("a controller: {software}");
        let counters = &self.shared.counters;
        counters.connections.fetch_add(1, Memory::Relaxed);
        let _connected = Counted::new(&counters.connected);
        while let Some(Event::Request(frame)) = self.channel.wait(None, true)? {
            self.handle(frame)?;
        }
        Ok(())
    }

    /// Does what a frame asks for, and answers.
    fn handle(self: &Arc<Self>, frame: Frame) -> Result<()> {
        let request: Received<'_, Request<'_>> = decode(&frame)?;
        let id = request.id;
        if id == NO_REQUEST {
            let message = "0 is no id of a request".to_owned();
            let kind = ErrorKind::Malformed;
            return self.finish(id, Err(Failure { kind, message }), Haste::Now);
        }
        if let Request::Call {
            order: Order::Concurrent,
            ..
        } = request.message
        {
            return self.begin(id, frame);
        }
        if !self.is_quick(&request.message) {
            self.channel.flush()?;
        }
        let start = Instant::now();
        let answer = self.attempt(|| {
            self.check(id)?;
            self.answer(&request)
        });
        if start.elapsed() > SLOW {
            self.channel.look_ahead();
        }
        self.finish(id, answer, Haste::Gather)
    }

    /// Has a thread of its own make a call.
    fn begin(self: &Arc<Self>, id: u64, frame: Frame) -> Result<()> {
        let mut state = self.state();
        let is_full = state.concurrent.len() >= MOST_CONCURRENT;
        if is_full || state.concurrent.insert(id, false).is_some() {
            drop(state);
            return self.finish(
                id,
                Err(too_many("calls at the same time", MOST_CONCURRENT)),
                Haste::Gather,
            );
        }
        drop(state);
        let peer = Arc::clone(self);
        let call = move || {
            let answer = peer.attempt(|| {
                let mut state = peer.state();
                state.concurrent.insert(id, true);
                if state.cancelled.remove(&id) {
                    return Err(cancelled());
                }
                drop(state);
                // It was read before.
                let request = decode(&frame).map_err(|error| malformed(&error))?;
                peer.answer(&request)
            });
            peer.state().concurrent.remove(&id);
            // Only the thread that reads knows when to write what was gathered. A connection that has failed says so to that one.
            let _ = peer.finish(id, answer, Haste::Now);
        };
        let Err(error) = self.shared.workers.run(Box::new(call)) else {
            return Ok(());
        };
        self.state().concurrent.remove(&id);
        let kind = ErrorKind::Memory;
        let message = format!("no thread for the call: {error}");
        self.finish(id, Err(Failure { kind, message }), Haste::Gather)
    }

    /// A bug of ours in one request is that request's failure alone.
    fn attempt(&self, answer: impl FnOnce() -> Answer) -> Answer {
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
            Err(Failure {
                kind: ErrorKind::Internal,
                message: "a bug of the executor: its log has more".to_owned(),
            })
        })
    }

    fn finish(&self, id: u64, answer: Answer, haste: Haste) -> Result<()> {
        match answer {
            Ok((response, body)) => self.respond(id, &response, &body, haste),
            Err(mut failure) => {
                tracing::debug!("request {id}: {failure}");
                let failures = &self.shared.counters.failures;
                failures.fetch_add(1, Memory::Relaxed);
                shorten(&mut failure.message);
                self.respond(id, &Response::Failed(failure), &[], haste)
            }
        }
    }

    fn respond(&self, id: u64, response: &Response, body: &[u8], haste: Haste) -> Result<()> {
        let mut head = Vec::new();
        let limit = self.channel.peer_limit();
        if let Err(error) = encode(&mut head, id, response, body.len(), limit) {
            // The controller does not take as much as it asked for: a failure of this request alone.
            let failure = Response::Failed(Failure {
                kind: ErrorKind::Memory,
                message: format!("response: {error}"),
            });
            encode(&mut head, id, &failure, 0, limit)?;
            return self.channel.send(&head, &[], haste);
        }
        self.channel.send(&head, &[body], haste)
    }

    /// Whether a request takes no time to speak of, so that answers before it may wait for its own.
    fn is_quick(&self, request: &Request<'_>) -> bool {
        match request {
            Request::Call {
                function: Callee::Prepared(function),
                ..
            } => {
                let state = self.state();
                let function = state.functions.get(function);
                function.is_some_and(|function| function.is_quick.load(Memory::Relaxed))
            }
            Request::Ping | Request::Write { .. } | Request::Read { .. } => true,
            _ => false,
        }
    }

    /// Does what is asked, and gives the response with its body.
    fn answer(self: &Arc<Self>, request: &Received<'_, Request<'_>>) -> Answer {
        let body = request.body;
        let takes_body = match &request.message {
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
        let modules = &self.shared.modules;
        let response = match &request.message {
            Request::Load {
                digest,
                size,
                name,
                scope,
                form,
            } => self.load(*digest, *size, name, scope.as_deref(), *form, body)?,
            Request::Define {
                name,
                value_type,
                definition,
            } => Response::Defined {
                address: modules.define(name, *value_type, *definition, body)?,
            },
            Request::Lookup { module, name } => Response::Found(modules.lookup(*module, name)?),
            Request::Call {
                function,
                arguments,
                ..
            } => return self.call(*function, arguments, body),
            Request::Unload { module } => {
                modules.unload(*module)?;
                Response::Done
            }
            Request::List { skip } => {
                let (modules, n_total) = modules.list(*skip);
                Response::Modules { modules, n_total }
            }
            Request::Ping => Response::Done,
            Request::Prepare {
                module,
                function,
                signature,
            } => {
                let function = modules.function(*module, function, *signature)?;
                let function = self.keep(function)?;
                Response::Prepared { function }
            }
            Request::Release { function } => {
                let released = self.state().functions.remove(function);
                // Its module may go with it, and not under the lock.
                released.ok_or_else(|| no_function(*function))?;
                Response::Done
            }
            Request::Allocate { size } => {
                let (buffer, address) = self.buffers.allocate(*size)?;
                Response::Allocated { buffer, address }
            }
            Request::Write { buffer, offset } => {
                self.buffers.get(*buffer)?.write(*offset, body)?;
                Response::Done
            }
            Request::Read {
                buffer,
                offset,
                size,
            } => {
                let buffer = self.buffers.get(*buffer)?;
                return Ok((Response::Bytes, buffer.read(*offset, *size)?));
            }
            Request::Free { buffer } => {
                self.buffers.free(*buffer)?;
                Response::Done
            }
            Request::Peek { address, size } => {
                let limit = self.shared.options.frame_limit;
                return Ok((Response::Bytes, exec::peek(*address, *size, limit)?));
            }
            Request::Poke { address } => {
                exec::poke(*address, body)?;
                Response::Done
            }
            Request::Cancel { id } => {
                self.cancel(*id);
                Response::Done
            }
            Request::Statistics => Response::Statistics(self.shared.statistics()),
        };
        Ok((response, Vec::new()))
    }

    fn load(
        &self,
        digest: Digest,
        size: u64,
        name: &str,
        scope: Option<&[Digest]>,
        form: Form,
        body: &[u8],
    ) -> std::result::Result<Response, Failure> {
        // It is taken whatever else is wrong: the next file belongs to the next request.
        let file = match form {
            Form::File => Some(self.file()?),
            Form::Plain | Form::Zstandard => None,
        };
        let limit = self.shared.options.frame_limit;
        if size > limit.into() {
            return Err(Failure {
                kind: ErrorKind::Image,
                message: format!(
                    "{digest}: an image of {size} bytes: longer than the limit of {limit} bytes"
                ),
            });
        }
        let modules = &self.shared.modules;
        let file = file.map(|file| {
            SealedFile::open(file).map_err(|error| Failure {
                kind: ErrorKind::Image,
                message: format!("{digest}: the file that came with the request: {error}"),
            })
        });
        let file = file.transpose()?;
        let bytes = file.as_ref().map_or(body, SealedFile::bytes);
        if bytes.is_empty() && file.is_none() {
            return Ok(if modules.offer(digest, name)? {
                Response::Loaded { was_loaded: true }
            } else {
                Response::Needed
            });
        }
        let unpacked;
        let bytes = match form {
            Form::Plain | Form::File => bytes,
            Form::Zstandard => {
                unpacked = crate::compress::unpack(bytes, size)?;
                &unpacked
            }
        };
        if number(bytes.len()) != size {
            return Err(Failure {
                kind: ErrorKind::Malformed,
                message: format!("{digest}: {} bytes of an image of {size}", bytes.len()),
            });
        }
        let was_loaded = modules.load(digest, bytes, file.as_ref(), name, scope)?;
        if !was_loaded {
            self.shared.counters.loads.fetch_add(1, Memory::Relaxed);
        }
        Ok(Response::Loaded { was_loaded })
    }

    fn call(&self, callee: Callee<'_>, arguments: &[Argument], body: &[u8]) -> Answer {
        let counters = &self.shared.counters;
        let limit = self.shared.options.frame_limit;
        let mut buffers = Buffers::new(arguments, body, limit)?;
        let kept = self.buffers.of(arguments)?;
        let count = || {
            counters.calls.fetch_add(1, Memory::Relaxed);
            Counted::new(&counters.running)
        };
        let value = match callee {
            Callee::Export {
                module,
                name,
                signature,
            } => {
                let function = self.shared.modules.function(module, name, signature)?;
                let _running = count();
                function.call(arguments, &mut buffers, &kept)?
            }
            Callee::Prepared(number) => {
                let prepared = self.state().functions.get(&number).cloned();
                let prepared = prepared.ok_or_else(|| no_function(number))?;
                let _running = count();
                let start = Instant::now();
                let value = prepared.function.call(arguments, &mut buffers, &kept)?;
                let is_quick = start.elapsed() < QUICK;
                prepared.is_quick.store(is_quick, Memory::Relaxed);
                value
            }
        };
        let value = wire_value(value);
        Ok((Response::Returned { value }, buffers.into_body(arguments)))
    }

    fn keep(&self, function: Function) -> std::result::Result<u64, Failure> {
        let mut state = self.state();
        if state.functions.len() >= MOST_FUNCTIONS {
            return Err(too_many("functions", MOST_FUNCTIONS));
        }
        state.last_function += 1;
        let number = state.last_function;
        let prepared = Prepared {
            function,
            is_quick: AtomicBool::new(false),
        };
        state.functions.insert(number, Arc::new(prepared));
        Ok(number)
    }

    fn cancel(&self, id: u64) {
        // Of those that take their turn it would have been noticed before.
        self.channel.too_late(id);
        let mut state = self.state();
        if state.concurrent.get(&id) == Some(&false) {
            state.cancelled.insert(id);
        }
    }

    /// Whether a request may be begun.
    fn check(&self, id: u64) -> std::result::Result<(), Failure> {
        if self.channel.is_cancelled(id) {
            return Err(cancelled());
        }
        Ok(())
    }

    /// The file that came with a request.
    fn file(&self) -> std::result::Result<std::os::fd::OwnedFd, Failure> {
        self.channel.take_file().ok_or_else(|| Failure {
            kind: ErrorKind::NoFile,
            message: "no file came with the request: this connection does not pass them".to_owned(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancelled() -> Failure {
    Failure {
        kind: ErrorKind::Cancelled,
        message: "cancelled before it began".to_owned(),
    }
}

fn malformed(error: &farcall_protocol::Error) -> Failure {
    Failure {
        kind: ErrorKind::Malformed,
        message: error.to_string(),
    }
}

fn no_function(number: u64) -> Failure {
    Failure {
        kind: ErrorKind::UnknownBuffer,
        message: format!("no function with the number {number} is prepared on this connection"),
    }
}

fn too_many(what: &str, most: usize) -> Failure {
    Failure {
        kind: ErrorKind::Memory,
        message: format!("more than {most} {what} on one connection"),
    }
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

pub(crate) fn wire_value(value: farcall_loader::invoke::Value) -> Value {
    use farcall_loader::invoke::Value as Loaders;
    match value {
        Loaders::Void => Value::Void,
        Loaders::Int { bits, value } => Value::Int { bits, value },
        Loaders::Float(value) => Value::Float(value),
        Loaders::Double(value) => Value::Double(value),
        Loaders::Pointer(value) => Value::Pointer(value),
    }
}
