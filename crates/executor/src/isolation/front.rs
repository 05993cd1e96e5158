//! Serving one connection of a supervisor: what it asks for goes on to a worker.

use std::collections::HashMap;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as Memory};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use farcall_image::Digest;
use farcall_protocol::{
    Callee, ErrorKind, FIRST_CALLBACK, Failure, Form, Frame, Hello, ModuleName, NO_REQUEST, Order,
    Received, Request, Response, decode_request, encode, encode_again, is_failure,
};

use super::Keep;
use super::calling::{Callbacks, Calling, has_ended};
use super::concurrent::Concurrent;
use super::crash::NO_IMAGE;
use super::pool::{Worker, lock, with_callee};
use super::supervisor::Supervisor;
use crate::audit::Load;
use crate::channel::{Channel, Haste, Next, Side};
use crate::client::LoadOptions;
use crate::connections::{Called, Calls};
use crate::counters::{Counted, Metered, count};
use crate::dock::not_here;
use crate::doing::Doing;
use crate::failures::{Shown, bug, cancelled, no_callback, shorten, stopping, too_deep};
use crate::identity::{Identity, Origin};
use crate::patience::Patience;
use crate::refusing::{begins_something, check_body, last_word, refuse};
use crate::serve::Shared;
use crate::transport::Connection;
use crate::{Error, Result};

/// The most functions that a connection may have prepared.
const MOST_FUNCTIONS: usize = 1 << 16;

/// How many modules one list has.
const MOST_LISTED: usize = 2048;

/// One controller's connection.
pub(crate) struct Front {
    pub(super) channel: Arc<Channel>,
    pub(super) shared: Arc<Shared>,
    _metered: Metered,
    pub(super) supervisor: Arc<Supervisor>,
    /// Who it is, once it has said something.
    who: OnceLock<Arc<Identity>>,
    /// What runs for it.
    pub(super) calls: Arc<Calls>,
    pub(super) state: Mutex<State>,
    pub(super) concurrent: Mutex<Concurrent>,
    /// Whether nobody is there any more for whom a call could begin.
    pub(super) is_over: AtomicBool,
    /// The id of the next call of a function of the controller's.
    pub(super) next_callback: AtomicU64,
}

#[derive(Default)]
pub(super) struct State {
    /// The session's worker, once it has one.
    pub(super) worker: Option<Arc<Worker>>,
    pub(super) functions: HashMap<u64, Arc<Prepared>>,
    last_function: u64,
    pub(super) callbacks: Callbacks,
}

/// A function that the controller has found.
pub(super) struct Prepared {
    pub(super) called: Arc<Called>,
    signature: Option<String>,
    /// Of its module.
    calls: Arc<AtomicU64>,
}

/// A worker that something is asked of. One that is for one call alone is dismissed with this.
pub(super) struct Taken {
    worker: Arc<Worker>,
    /// Who dismisses it.
    by: Option<Arc<Supervisor>>,
}

impl Deref for Taken {
    type Target = Arc<Worker>;

    fn deref(&self) -> &Arc<Worker> {
        &self.worker
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(supervisor) = self.by.take() {
            supervisor.dismiss(Arc::clone(&self.worker));
        }
    }
}

/// An answer: of ours, or a worker's as it is.
pub(super) enum Answer {
    Own(Response, Vec<u8>),
    Passed(Frame),
}

pub(super) type Answered = std::result::Result<Answer, Failure>;

impl Front {
    /// Serves a connection to its end.
    pub(crate) fn serve(
        shared: &Arc<Shared>,
        supervisor: &Arc<Supervisor>,
        connection: Connection,
    ) -> Result<()> {
        let patience = Patience::of(&connection, shared.options.timeouts.greeting);
        let origin = connection.origin();
        let channel = Channel::new(Side::Executor(shared.options.unread_time), connection);
        let front = Arc::new(Self {
            who: OnceLock::new(),
            _metered: Metered::new(shared, &channel.meter),
            channel: Arc::new(channel),
            shared: Arc::clone(shared),
            supervisor: Arc::clone(supervisor),
            calls: Arc::default(),
            state: Mutex::default(),
            concurrent: Mutex::default(),
            is_over: AtomicBool::new(false),
            next_callback: AtomicU64::new(FIRST_CALLBACK),
        });
        let most = shared.options.connection_limit;
        let Some(_open) = Counted::within(&shared.counters.open, most) else {
            return refuse(&front.channel, shared, Error::TooMany { most });
        };
        let entered = shared.connections.enter(&front.channel, &front.calls);
        let Some(entered) = entered else {
            return refuse(&front.channel, shared, Error::Stopping);
        };
        let mut hello = Vec::new();
        shared.hello().encode(&mut hello)?;
        front.channel.send(&hello, &[], Haste::Now)?;
        let served = front.converse(patience, &origin);
        front.is_over.store(true, Memory::Relaxed);
        if let Some(worker) = lock(&front.state).worker.take() {
            supervisor.dismiss(worker);
        }
        if let Some(failure) = served.as_ref().err().and_then(last_word) {
            // Whether it arrives is not known.
            let _ = front.respond(NO_REQUEST, &Response::Failed(failure), &[], Haste::Now);
        }
        if served.is_err() {
            front.channel.let_write();
            // Calls that run keep the connection, and some may wait for it.
            front.channel.close();
        }
        drop(front);
        drop(entered);
        served
    }

    fn converse(self: &Arc<Self>, patience: Patience, origin: &Origin) -> Result<()> {
        let limit = self.shared.options.frame_limit;
        let greeted = self.channel.greet(patience, limit, |payload| {
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
        while let Some(next) = self.channel.next_request()? {
            let frame = match next {
                Next::Request(frame) => frame,
                Next::Late(frame) => {
                    self.handle_late(frame)?;
                    continue;
                }
            };
            let answer = |id, done: std::result::Result<_, _>| {
                self.finish(
                    id,
                    done.map(|done| Answer::Own(done, Vec::new())),
                    Haste::Now,
                )
            };
            if !(std::mem::take(&mut is_first) && self.channel.share(&frame, answer)?) {
                self.handle(frame)?;
            }
        }
        Ok(())
    }

    /// As [`handle`](Self::handle), when the executor is stopping.
    fn handle_late(self: &Arc<Self>, frame: Frame) -> Result<()> {
        let (request, _) = decode_request(&frame)?;
        if !begins_something(&request.message) {
            return self.handle(frame);
        }
        drop(self.channel.take_file(request.id));
        self.finish(request.id, Err(stopping()), Haste::Gather)
    }

    pub(super) fn handle(self: &Arc<Self>, frame: Frame) -> Result<()> {
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
            return self.finish(id, Err(Failure { kind, message }), haste);
        }
        if let Request::Call {
            order: Order::Concurrent,
            ..
        } = request.message
        {
            return self.begin(id, frame, haste);
        }
        let answer = self.attempt(&request, Instant::now());
        self.finish(id, answer, haste)
    }

    /// Does what is asked, by a request that was read at `start`.
    pub(super) fn attempt(
        self: &Arc<Self>,
        request: &Received<'_, Request<'_>>,
        start: Instant,
    ) -> Answered {
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let _doing = Doing::begin(&self.channel, request.id).ok_or_else(too_deep)?;
            if self.channel.is_cancelled(request.id) {
                drop(self.channel.take_file(request.id));
                return Err(cancelled());
            }
            self.answer(request, start)
        }));
        answer.unwrap_or_else(|_| Err(bug()))
    }

    pub(super) fn finish(&self, id: u64, answer: Answered, haste: Haste) -> Result<()> {
        match answer {
            Ok(Answer::Own(response, body)) => self.respond(id, &response, &body, haste),
            Ok(Answer::Passed(frame)) => {
                if is_failure(&frame) {
                    self.shared.counters.fail_elsewhere();
                }
                let mut head = Vec::new();
                let rest = encode_again(&mut head, id, &frame, self.channel.peer_limit())?;
                self.channel.send(&head, &[rest], haste)
            }
            Err(mut failure) => {
                tracing::debug!("request {id}: {failure}");
                self.shared.counters.fail(&failure);
                shorten(&mut failure.message);
                self.respond(id, &Response::Failed(failure), &[], haste)
            }
        }
    }

    fn respond(&self, id: u64, response: &Response, body: &[u8], haste: Haste) -> Result<()> {
        let mut head = Vec::new();
        encode(
            &mut head,
            id,
            response,
            body.len(),
            self.channel.peer_limit(),
        )?;
        self.channel.send(&head, &[body], haste)
    }

    fn answer(self: &Arc<Self>, received: &Received<'_, Request<'_>>, start: Instant) -> Answered {
        let (request, body) = (&received.message, received.body);
        check_body(request, body)?;
        self.shared.modules.admission.check_request(request)?;
        let response = match request {
            Request::Load {
                digest,
                size,
                name,
                scope,
                form,
            } => {
                // It is taken whatever else is wrong.
                let file = match form {
                    Form::File => Some(self.channel.file(received.id)?),
                    Form::Plain | Form::Zstandard => None,
                    Form::Docked => return Err(not_here()),
                };
                let options = LoadOptions {
                    name,
                    scope: scope.as_deref(),
                    file: None,
                };
                let who = self.who.get().map(Arc::clone).unwrap_or_default();
                let audit = &self.shared.modules.admission.audit;
                let shown = Shown {
                    name,
                    digest: *digest,
                };
                let load = Load::new(audit, who, shown, *size, start);
                let loaded = load.end(self.load(&load, options, *form, file, body));
                self.shared.counters.load(start, &loaded);
                loaded?
            }
            Request::Define {
                name,
                value_type,
                definition,
            } => self.define(name, *value_type, definition, body)?,
            Request::Unload { module } => self.unload(*module)?,
            Request::List { skip } => {
                let admission = &self.shared.modules.admission;
                let (modules, n_total) =
                    (self.supervisor).list(*skip, MOST_LISTED, |it| admission.signer(it));
                Response::Modules { modules, n_total }
            }
            Request::Ping => Response::Done,
            Request::Prepare {
                module,
                function,
                signature,
            } => self.prepare(*module, function, *signature)?,
            Request::Release { function } => {
                let mut state = lock(&self.state);
                if state.functions.remove(function).is_none() {
                    return Err(no_function(*function));
                }
                if let Some(worker) = &state.worker {
                    worker.release(*function);
                }
                Response::Done
            }
            Request::Cancel { id } => {
                self.cancel(*id);
                Response::Done
            }
            Request::Statistics => Response::Statistics(self.shared.statistics().into()),
            Request::Pardon { digest } => {
                let ends = self.supervisor.blame.pardon(*digest);
                tracing::info!(%digest, crashes = ends.crashes, late = ends.late, "pardoned");
                Response::Done
            }
            Request::Call { function, .. } => return self.call(request, *function, body, start),
            Request::Lookup { module, name } => {
                let digest = self.supervisor.digest_of(*module)?;
                let request = Request::Lookup {
                    module: ModuleName::Digest(digest),
                    name,
                };
                let worker = self.worker_for(digest)?;
                let what = format!("lookup of {name}");
                return self.pass(&worker, &request, &[], None, &what, digest);
            }
            Request::Allocate { shared: true, .. } => {
                let file = self.channel.file(received.id)?;
                let worker = self.session()?;
                return self.pass(&worker, request, body, Some(&file), "memory", NO_IMAGE);
            }
            Request::Allocate { .. }
            | Request::Write { .. }
            | Request::Read { .. }
            | Request::Free { .. }
            | Request::Peek { .. }
            | Request::Poke { .. } => {
                let worker = self.session()?;
                return self.pass(&worker, request, body, None, "memory", NO_IMAGE);
            }
            Request::Share => return Err(self.channel.too_late_to_share(received.id)),
            Request::Dock => {
                drop(self.channel.take_file(received.id));
                return Err(not_here());
            }
            Request::DefineOnFirstCall {
                space,
                number,
                first,
                functions,
            } => self.define_on_first_call(*space, *number, *first, functions)?,
            Request::CalledBack(_) | Request::Within { .. } => return Err(no_callback()),
            Request::Fork { .. } | Request::Reap { .. } | Request::Permit { .. } => {
                return Err(Failure {
                    kind: ErrorKind::Malformed,
                    message: "this is no template".to_owned(),
                });
            }
        };
        Ok(Answer::Own(response, Vec::new()))
    }

    fn prepare(
        self: &Arc<Self>,
        module: ModuleName<'_>,
        function: &str,
        signature: Option<&str>,
    ) -> std::result::Result<Response, Failure> {
        let module = self.supervisor.digest_of(module)?;
        let worker = self.worker_for(module)?;
        let mut state = lock(&self.state);
        if state.functions.len() >= MOST_FUNCTIONS {
            let kind = ErrorKind::Memory;
            let message = format!("more than {MOST_FUNCTIONS} prepared functions");
            return Err(Failure { kind, message });
        }
        state.last_function += 1;
        let number = state.last_function;
        drop(state);
        let found = worker.function(number, module, function, signature);
        found.map_err(|gone| self.lost(&worker, gone, function, module))??;
        let calls = (self.supervisor).kept(module, |kept| Arc::clone(&kept.calls));
        let called = Called {
            name: function.to_owned(),
            image: module,
        };
        let prepared = Prepared {
            called: Arc::new(called),
            // One that has just gone has nobody who asks.
            calls: calls.unwrap_or_default(),
            signature: signature.map(str::to_owned),
        };
        lock(&self.state)
            .functions
            .insert(number, Arc::new(prepared));
        Ok(Response::Prepared { function: number })
    }

    fn call(
        self: &Arc<Self>,
        request: &Request<'_>,
        callee: Callee<'_>,
        body: &[u8],
        start: Instant,
    ) -> Answered {
        let counters = &self.shared.counters;
        let keep = self.supervisor.options.keep;
        match callee {
            Callee::Export {
                module,
                name,
                signature,
            } => {
                let digest = self.supervisor.digest_of(module)?;
                let called = Called {
                    name: name.to_owned(),
                    image: digest,
                };
                let _call = self.calls.begin(Arc::new(called), start);
                let worker = self.worker_for(digest)?;
                let callee = Callee::Export {
                    module: ModuleName::Digest(digest),
                    name,
                    signature,
                };
                let request = with_callee(request.clone(), callee, keep);
                self.supervisor.kept(digest, |kept| count(&kept.calls));
                let _running = counters.call(start);
                self.pass(&worker, &request, body, None, name, digest)
            }
            Callee::Prepared(number) => {
                let prepared = lock(&self.state).functions.get(&number).cloned();
                let prepared = prepared.ok_or_else(|| no_function(number))?;
                let _call = self.calls.begin(Arc::clone(&prepared.called), start);
                let Called { name, image } = &*prepared.called;
                let worker = self.worker_for(*image)?;
                let function = worker
                    .function(number, *image, name, prepared.signature.as_deref())
                    .map_err(|gone| self.lost(&worker, gone, name, *image))??;
                let request = with_callee(request.clone(), Callee::Prepared(function), keep);
                count(&prepared.calls);
                let _running = counters.call(start);
                self.pass(&worker, &request, body, None, name, *image)
            }
        }
    }

    /// A worker, with everything that is loaded, for something of this image.
    fn worker_for(self: &Arc<Self>, image: Digest) -> std::result::Result<Taken, Failure> {
        let name = || self.supervisor.kept(image, |kept| kept.name.clone());
        let name = || name().unwrap_or_else(|| image.to_string());
        self.check_call(image)?;
        self.supervisor.blame.check(image, name)?;
        let worker = self.worker()?;
        self.advance(&worker, image)?;
        Ok(worker)
    }

    /// The worker that waits for this; else the session's, or a new one where there are no sessions.
    pub(super) fn worker(self: &Arc<Self>) -> std::result::Result<Taken, Failure> {
        if let Some(worker) = Calling::worker() {
            return if worker.has_ended() {
                Err(has_ended())
            } else {
                Ok(Taken { worker, by: None })
            };
        }
        let taken = if self.supervisor.options.keep == Keep::Call {
            Taken {
                worker: self.new_worker()?,
                by: Some(Arc::clone(&self.supervisor)),
            }
        } else {
            let mut state = lock(&self.state);
            let known = state.worker.clone().filter(|worker| !worker.has_ended());
            let worker = known.map_or_else(|| self.new_worker(), Ok)?;
            state.worker = Some(Arc::clone(&worker));
            Taken { worker, by: None }
        };
        self.serve_calls_of(&taken);
        Ok(taken)
    }

    fn new_worker(self: &Arc<Self>) -> std::result::Result<Arc<Worker>, Failure> {
        let worker = self.supervisor.take_worker()?;
        if let Some(socket) = self.channel.socket() {
            worker.serve_master(socket.clone());
        }
        let channel = Arc::clone(&self.channel);
        worker.print_to(move |is_error, bytes| {
            let mut head = Vec::new();
            let printed = Response::Printed { is_error };
            let limit = channel.peer_limit();
            // A controller that is gone reads nothing any more.
            if encode(&mut head, NO_REQUEST, &printed, bytes.len(), limit).is_ok() {
                let _ = channel.send(&head, &[bytes], Haste::Now);
            }
        });
        self.relay_calls_of(&worker);
        Ok(worker)
    }

    /// The session's worker, for what stays in its memory, or that which waits for this.
    fn session(self: &Arc<Self>) -> std::result::Result<Taken, Failure> {
        if self.supervisor.options.keep == Keep::Call && Calling::worker().is_none() {
            return Err(Failure {
                kind: ErrorKind::Memory,
                message: "each call has a process of its own here, so that nothing stays in memory between calls"
                    .to_owned(),
            });
        }
        self.worker()
    }

    /// Has a worker do something, and gives its answer as it is.
    fn pass(
        &self,
        worker: &Arc<Worker>,
        request: &Request<'_>,
        body: &[u8],
        file: Option<&OwnedFd>,
        what: &str,
        image: Digest,
    ) -> Answered {
        let outcome = worker.ask(request, body, file.map(AsFd::as_fd));
        // It comes before the answer.
        worker.pass_on_output();
        match outcome {
            Ok(frame) => Ok(Answer::Passed(frame)),
            Err(gone) => Err(self.lost(worker, gone, what, image)),
        }
    }
}

fn no_function(number: u64) -> Failure {
    Failure {
        kind: ErrorKind::UnknownBuffer,
        message: format!("{number}: no function of this connection"),
    }
}
