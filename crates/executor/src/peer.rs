//! Serving one connection: requests in, answers out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as Memory};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use farcall_protocol::{
    Argument, Callee, ErrorKind, FIRST_CALLBACK, Failure, Form, Frame, Hello, NO_REQUEST, Order,
    Received, Request, Response, Value, decode_request, encode,
};
use foldhash::fast::FixedState;

use crate::audit::Load;
use crate::buffers::RemoteBuffers;
use crate::callback::Line;
use crate::channel::{Channel, Haste, Next, Side};
use crate::client::LoadOptions;
use crate::connections::Calls;
use crate::counters::{Counted, Metered, count};
use crate::dock::Dock;
use crate::doing::Doing;
use crate::failures::{
    Shown, bug, cancelled, malformed, no_callback, no_function, no_thread, not_isolated, shorten,
    stopping, too_deep, too_many,
};
use crate::identity::{Identity, Origin};
use crate::isolation::{self, Limits, Template};
use crate::memory::{Buffers, number};
use crate::modules::Function;
use crate::patience::Patience;
use crate::refusing::{begins_something, check_body, last_word, refuse};
use crate::serve::Shared;
use crate::transport::Connection;
use crate::{Error, Result, exec};

/// Functions that returned within this time the last time they were called are quick: answers wait for theirs.
pub(crate) const QUICK: Duration = Duration::from_micros(20);

/// After a request that took longer than this, what was sent meanwhile is looked through for such as are cancelled.
const SLOW: Duration = Duration::from_millis(1);

/// The most functions that a connection may have prepared.
const MOST_FUNCTIONS: usize = 1 << 16;

/// The most calls of a connection that run at the same time, or wait to.
pub(crate) const MOST_CONCURRENT: usize = 1024;

/// One controller's connection, and what belongs to it.
pub(crate) struct Peer {
    pub(crate) channel: Arc<Channel>,
    pub(crate) shared: Arc<Shared>,
    _metered: Metered,
    /// Who it is, once it has said something.
    who: OnceLock<Arc<Identity>>,
    /// What runs for it.
    pub(crate) calls: Arc<Calls>,
    state: Mutex<State>,
    buffers: RemoteBuffers,
    /// Concurrent calls that have ended and are not answered.
    ended: Mutex<VecDeque<Ended>>,
    /// Held by the thread that answers them.
    answering: Mutex<()>,
    /// Whether nobody is there any more for whom a call could begin.
    is_over: AtomicBool,
    /// Through which large images may come.
    pub(crate) dock: Dock,
    /// Where functions of the controller's lead.
    pub(crate) line: Arc<Line>,
    /// The id of the next call of one.
    pub(crate) next_callback: AtomicU64,
}

#[derive(Default)]
struct State {
    functions: HashMap<u64, Arc<Prepared>, FixedState>,
    last_function: u64,
    /// Requests that are not to be begun.
    cancelled: HashSet<u64>,
    /// Concurrent calls that have not ended; true once they have begun.
    concurrent: HashMap<u64, bool>,
    /// The bytes of their requests.
    concurrent_bytes: usize,
}

/// A concurrent call that has ended.
struct Ended {
    id: u64,
    /// Of its request, in bytes.
    size: usize,
    answer: Answer,
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
        let options = &shared.options;
        let patience = Patience::of(&connection, options.timeouts.greeting);
        let origin = connection.origin();
        let template = shared.template.as_ref();
        let channel = Channel::new(Side::Executor(options.unread_time), connection);
        let peer = Arc::new(Self {
            who: OnceLock::new(),
            _metered: Metered::new(shared, &channel.meter),
            channel: Arc::new(channel),
            calls: Arc::default(),
            shared: Arc::clone(shared),
            state: Mutex::default(),
            buffers: RemoteBuffers::new(options.buffer_limit),
            ended: Mutex::default(),
            answering: Mutex::default(),
            is_over: AtomicBool::new(false),
            dock: Dock::default(),
            line: template.map_or_else(Arc::default, |template| Arc::clone(&template.line)),
            next_callback: AtomicU64::new(FIRST_CALLBACK),
        });
        let most = options.connection_limit;
        let Some(_open) = Counted::within(&shared.counters.open, most) else {
            return refuse(&peer.channel, shared, Error::TooMany { most });
        };
        let entered = shared.connections.enter(&peer.channel, &peer.calls);
        let Some(entered) = entered else {
            return refuse(&peer.channel, shared, Error::Stopping);
        };
        peer.line.lead_to(&peer);
        // Most are no longer, and it is made in one piece of memory.
        let mut hello = Vec::with_capacity(128);
        shared.hello().encode(&mut hello)?;
        peer.channel.send(&hello, &[], Haste::Now)?;

        let served = peer.converse(patience, &origin);
        peer.is_over.store(true, Memory::Relaxed);
        if let Err(error) = &served
            && let Some(failure) = last_word(error)
        {
            // For a controller that still listens. Whether it arrives is not known.
            let _ = peer.respond(NO_REQUEST, &Response::Failed(failure), &[], Haste::Now);
        }
        if served.is_err() {
            peer.channel.let_write();
            // Calls that run keep the connection, and some may wait for it.
            peer.channel.close();
        }
        // Modules whose functions it has found can be unloaded from now on.
        drop(peer);
        drop(entered);
        served
    }

    fn converse(self: &Arc<Self>, patience: Patience, origin: &Origin) -> Result<()> {
        let greeted = self
            .channel
            .greet(patience, self.shared.options.frame_limit, |payload| {
                let hello = Hello::decode(payload)?;
                Ok((hello.software, hello.frame_limit))
            })?;
        let Some(software) = greeted else {
            return Ok(());
        };
        let who = self.who.get_or_init(|| origin.identity().into());
        tracing::info!(peer = %who, software, "connected");
        let counters = &self.shared.counters;
        count(&counters.connections);
        let _connected = Counted::new(&counters.connected);
        let mut is_first = true;
        while !self.is_leaving()
            && let Some(next) = self.channel.next_request()?
        {
            let frame = match next {
                Next::Request(frame) => frame,
                Next::Late(frame) => {
                    self.handle_late(frame)?;
                    continue;
                }
            };
            let answer = |id, done: std::result::Result<_, _>| {
                self.finish(id, done.map(|done| (done, Vec::new())), Haste::Now)
            };
            if !(std::mem::take(&mut is_first) && self.channel.share(&frame, answer)?) {
                self.handle(frame)?;
            }
        }
        Ok(())
    }

    /// Whether this process has become a worker, to which the connection does not belong.
    fn is_leaving(&self) -> bool {
        let template = self.shared.template.as_ref();
        template.is_some_and(Template::is_leaving)
    }

    /// As [`handle`](Self::handle), when the executor is stopping.
    fn handle_late(self: &Arc<Self>, frame: Frame) -> Result<()> {
        let (request, _) = decode_request(&frame)?;
        if !begins_something(&request.message) {
            return self.handle(frame);
        }
        drop(self.channel.take_file(request.id));
        self.dock.close_after(&request.message);
        self.finish(request.id, Err(stopping()), Haste::Gather)
    }

    /// Does what a frame asks for, and answers.
    pub(crate) fn handle(self: &Arc<Self>, frame: Frame) -> Result<()> {
        let (request, within) = decode_request(&frame)?;
        let id = request.id;
        // Only the connection's own thread knows when to write what was gathered.
        let haste = match within {
            Some(_) => Haste::Now,
            None => Haste::Gather,
        };
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
        let function = self.prepared(&request.message);
        if !is_quick(&request.message, function.as_deref()) {
            self.channel.flush()?;
        }
        let start = Instant::now();
        let answer = self.attempt(id, || {
            let begun = self.check(id);
            begun.inspect_err(|_| self.dock.close_after(&request.message))?;
            self.answer(&request, function.as_deref(), start)
        });
        if self.is_leaving() {
            return Ok(());
        }
        // First of all, because somebody may wait for it.
        self.finish(id, answer, haste)?;
        let was_quick = function.is_some_and(|function| function.is_quick.load(Memory::Relaxed));
        if !was_quick && start.elapsed() > SLOW {
            self.channel.look_ahead();
        }
        Ok(())
    }

    /// Has a thread of its own make a call.
    fn begin(self: &Arc<Self>, id: u64, frame: Frame) -> Result<()> {
        let mut state = self.state();
        let size = frame.len();
        let limit = self.shared.options.frame_limit;
        let is_full = state.concurrent.len() >= MOST_CONCURRENT
            || number(state.concurrent_bytes + size) > limit.into();
        if is_full || state.concurrent.contains_key(&id) {
            drop(state);
            let what = format!("calls at the same time, or {limit} bytes of their requests,");
            let failure = too_many(&what, MOST_CONCURRENT);
            return self.finish(id, Err(failure), Haste::Gather);
        }
        state.concurrent.insert(id, false);
        state.concurrent_bytes += size;
        drop(state);
        self.channel.begin_beside();
        let peer = Arc::clone(self);
        let start = Instant::now();
        let call = move || {
            let answer = peer.attempt(id, || {
                let mut state = peer.state();
                state.concurrent.insert(id, true);
                if state.cancelled.remove(&id) || peer.is_over.load(Memory::Relaxed) {
                    return Err(cancelled());
                }
                drop(state);
                // It was read before.
                let (request, _) = decode_request(&frame).map_err(|error| malformed(&error))?;
                let function = peer.prepared(&request.message);
                peer.answer(&request, function.as_deref(), start)
            });
            drop(frame);
            lock(&peer.ended).push_back(Ended { id, size, answer });
            peer.answer_ended();
        };
        let Err(error) = self.shared.workers.run(Box::new(call)) else {
            return Ok(());
        };
        self.forget(id, size);
        self.channel.end_beside();
        self.finish(id, Err(no_thread(&error)), Haste::Gather)
    }

    /// Answers the concurrent calls that have ended. One thread of a connection writes and the others leave it theirs: a controller that
    /// does not read keeps no more threads from the calls of others.
    fn answer_ended(&self) {
        while !lock(&self.ended).is_empty() {
            let _turn = match self.answering.try_lock() {
                // It looks again when it is done.
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
                Ok(turn) => turn,
            };
            loop {
                let ended = lock(&self.ended).pop_front();
                let Some(Ended { id, size, answer }) = ended else {
                    break;
                };
                self.forget(id, size);
                // Only the thread that reads knows when to write what was gathered. A connection that has failed says so to that one.
                let _ = self.finish(id, answer, Haste::Now);
                self.channel.end_beside();
            }
        }
    }

    /// A concurrent call has ended, whose request had this size in bytes.
    fn forget(&self, id: u64, size: usize) {
        let mut state = self.state();
        state.concurrent.remove(&id);
        state.concurrent_bytes -= size;
    }

    /// A bug of ours in one request is that request's failure alone, and so is a function of a controller's that fails in the middle of it.
    fn attempt(&self, id: u64, answer: impl FnOnce() -> Answer) -> Answer {
        let answer = || {
            let _doing = Doing::begin(&self.channel, id).ok_or_else(too_deep)?;
            answer()
        };
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|panic| {
            Err(panic.downcast().map_or_else(|_| bug(), |failure| *failure))
        })
    }

    fn finish(&self, id: u64, answer: Answer, haste: Haste) -> Result<()> {
        // What was printed comes before the answer.
        isolation::flush_output();
        match answer {
            Ok((response, body)) => self.respond(id, &response, &body, haste),
            Err(mut failure) => {
                tracing::debug!("request {id}: {failure}");
                self.shared.counters.fail(&failure);
                shorten(&mut failure.message);
                self.respond(id, &Response::Failed(failure), &[], haste)
            }
        }
    }

    fn respond(&self, id: u64, response: &Response, body: &[u8], haste: Haste) -> Result<()> {
        // Most are no longer.
        let mut head = Vec::with_capacity(64);
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

    /// The function that a request calls, if it was prepared.
    fn prepared(&self, request: &Request<'_>) -> Option<Arc<Prepared>> {
        match request {
            Request::Call {
                function: Callee::Prepared(number),
                ..
            } => self.state().functions.get(number).cloned(),
            _ => None,
        }
    }

    /// Does what is asked, by a request that was read at `start`, and gives the response with its body. `function` is what is called, if it was prepared.
    fn answer(
        self: &Arc<Self>,
        request: &Received<'_, Request<'_>>,
        function: Option<&Prepared>,
        start: Instant,
    ) -> Answer {
        let body = request.body;
        check_body(&request.message, body)?;
        let modules = &self.shared.modules;
        modules.admission.check_request(&request.message)?;
        let response = match &request.message {
            Request::Load {
                digest,
                size,
                name,
                scope,
                form,
            } => {
                // It is taken whatever else is wrong.
                let file = match form {
                    Form::File => Some(self.channel.file(request.id)?),
                    Form::Plain | Form::Zstandard | Form::Docked => None,
                };
                let options = LoadOptions {
                    name,
                    scope: scope.as_deref(),
                    file: None,
                };
                let who = self.who.get().map(Arc::clone).unwrap_or_default();
                let shown = Shown {
                    name,
                    digest: *digest,
                };
                let load = Load::new(&modules.admission.audit, who, shown, *size, start);
                let load = Arc::new(load);
                let loaded = load.end(self.load(&load, options, *form, file, body));
                self.shared.counters.load(start, &loaded);
                loaded?
            }
            Request::Define {
                name,
                value_type,
                definition,
            } => Response::Defined {
                address: modules.define(
                    name,
                    *value_type,
                    *definition,
                    body,
                    |signature, number| self.callback(name, signature, number),
                )?,
            },
            Request::Lookup { module, name } => Response::Found(modules.lookup(*module, name)?),
            Request::Call {
                function: callee,
                arguments,
                ..
            } => return self.call(*callee, function, arguments, body, start),
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
            Request::Allocate { size, shared } => {
                let file = shared.then(|| self.channel.file(request.id));
                let file = file.transpose()?;
                let (buffer, address) = self.buffers.allocate(*size, file)?;
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
            Request::Statistics => Response::Statistics(self.shared.statistics().into()),
            Request::Fork { memory, sandbox } => {
                let socket = self.channel.file(request.id)?;
                let template = self.shared.template.as_ref().ok_or_else(not_isolated)?;
                let limits = Limits {
                    memory: *memory,
                    sandbox: *sandbox,
                };
                template.fork(socket, limits)?
            }
            Request::Reap { process } => {
                let template = self.shared.template.as_ref().ok_or_else(not_isolated)?;
                template.reap(*process)
            }
            Request::Permit { digest, by, host } => {
                self.shared.template.as_ref().ok_or_else(not_isolated)?;
                modules.admission.permit(*digest, by, host);
                Response::Done
            }
            Request::Pardon { .. } => return Err(not_isolated()),
            Request::Share => return Err(self.channel.too_late_to_share(request.id)),
            Request::Dock => {
                let (ring, _) = self.channel.ring(request.id)?;
                self.dock.open(ring, self.shared.docks())?;
                Response::Done
            }
            Request::DefineOnFirstCall {
                space,
                number,
                first,
                functions,
            } => {
                self.define_on_first_call(*space, *number, *first, functions)?;
                Response::Done
            }
            // An answer has another id, and of one request within another the inner one was read.
            Request::CalledBack(_) | Request::Within { .. } => return Err(no_callback()),
        };
        Ok((response, Vec::new()))
    }

    fn call(
        &self,
        callee: Callee<'_>,
        prepared: Option<&Prepared>,
        arguments: &[Argument],
        body: &[u8],
        start: Instant,
    ) -> Answer {
        let counters = &self.shared.counters;
        let limit = self.shared.options.frame_limit;
        let mut buffers = Buffers::new(arguments, body, limit)?;
        let kept = self.buffers.of(arguments)?;
        let value = match callee {
            Callee::Export {
                module,
                name,
                signature,
            } => {
                let function = self.shared.modules.function(module, name, signature)?;
                let _call = self.calls.begin(function.called(), start);
                let _running = counters.call(start);
                function.call(arguments, &mut buffers, &kept)?
            }
            Callee::Prepared(number) => {
                let prepared = prepared.ok_or_else(|| no_function(number))?;
                self.shared.modules.check_call(&prepared.function.entry)?;
                let _call = self.calls.begin(prepared.function.called(), start);
                let mut running = counters.call(start);
                running.is_quick = Some(&prepared.is_quick);
                prepared.function.call(arguments, &mut buffers, &kept)?
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
            drop(self.channel.take_file(id));
            return Err(cancelled());
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Whether a request takes no time to speak of, so that answers before it may wait for its own.
fn is_quick(request: &Request<'_>, function: Option<&Prepared>) -> bool {
    match request {
        // Who sends it waits for both answers.
        Request::Call {
            order: Order::WithAnswersBefore,
            ..
        } => true,
        Request::Call { .. } => {
            function.is_some_and(|function| function.is_quick.load(Memory::Relaxed))
        }
        Request::Ping | Request::Write { .. } | Request::Read { .. } => true,
        _ => false,
    }
}

/// What is locked is whole also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
