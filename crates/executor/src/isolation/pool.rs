//! A supervisor's view of a worker.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io::{PipeReader, Read as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use farcall_image::Digest;
use farcall_loader::invoke::Value;
use farcall_protocol::{Callee, Failure, Frame, ModuleName, Order, Request, Response};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Keep;
use super::change::{Change, is_answer};
use super::report::Crash;
use super::sandbox::Enforced;
use super::worker::Belongings;
use crate::channel::{Channel, Interest};
use crate::client::Executor;
use crate::closures::Serving;
use crate::doing::Doing;
use crate::transport::{Connection, Socket};
use crate::{Error, Result};

/// How long a worker may take to end after its connection has: the system takes it down in this order.
const ENDING: Duration = Duration::from_millis(250);

/// How long what was asked for may go on when whoever asked has gone: what is short is done to its end.
const ALONE: Duration = Duration::from_secs(2);

/// A worker. Dropping it closes its connection, upon which it ends.
pub(super) struct Worker {
    pub(super) process: u32,
    handle: OwnedFd,
    executor: Executor,
    /// The same connection, to cut it.
    socket: UnixStream,
    belongings: Belongings,
    end: OnceLock<Option<i32>>,
    todo: Mutex<Todo>,
    /// Held by who does what is to do, but for those who do it in the middle of a call: the one that holds it may wait for them.
    advancing: Mutex<()>,
    /// Held while the next change is sent, so that they are in order.
    sending: Mutex<()>,
    /// Why images could not be loaded here.
    refused: Mutex<HashMap<Digest, Failure>>,
    /// The session's functions by its numbers, as this worker numbers them.
    functions: Mutex<HashMap<u64, u64>>,
    /// What it does, by numbers in order, and when that began.
    running: Mutex<BTreeMap<u64, Instant>>,
    last_run: AtomicU64,
    /// What of that took too long.
    late: Mutex<Vec<u64>>,
    /// Who has a session in it.
    master: OnceLock<Socket>,
    /// Since when its master has been gone, with something still running.
    alone_since: Mutex<Option<Instant>>,
    /// Whether it was ended for that.
    was_abandoned: AtomicBool,
    /// Whether it had to be ended when its connection was of no use any more.
    was_cut_off: AtomicBool,
    /// Whether somebody who waited for it was told that it has ended.
    was_missed: AtomicBool,
    /// Whether its end has been counted against an image.
    is_blamed: AtomicBool,
    /// Told what it prints. Held while that is passed on, so that it stays in order.
    printed: Mutex<Option<Box<PrintedTo>>>,
    /// Waits for what it calls while nobody waits for it.
    serving: OnceLock<Option<Serving>>,
}

type PrintedTo = dyn Fn(bool, &[u8]) + Send;

/// That a worker's connection has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone {
    /// Whether what was asked for took too long.
    pub(super) was_late: bool,
}

/// How a worker has ended.
pub(super) struct Ended {
    /// As wait(2) gives it, if that is known.
    pub(super) status: Option<i32>,
    pub(super) crash: Option<Box<Crash>>,
    /// Whether something took too long, whatever it was.
    pub(super) is_late: bool,
    /// Whether it went on without its connection, and was ended.
    pub(super) was_cut_off: bool,
    /// Whether it was ended because nobody was there for whom it ran.
    pub(super) was_abandoned: bool,
}

/// What a worker has yet to do, in order.
#[derive(Default)]
struct Todo {
    changes: VecDeque<Arc<Change>>,
    /// What may run code of images, for when these are used.
    outside: VecDeque<Arc<Change>>,
}

/// Something that a worker does.
struct Running<'worker> {
    worker: &'worker Worker,
    number: u64,
}

impl Running<'_> {
    /// That the worker has ended in the middle of it.
    fn gone(&self) -> Gone {
        // Before it is known that nothing runs.
        (self.worker.was_missed).store(true, Ordering::Relaxed);
        let was_late = lock(&self.worker.late).contains(&self.number);
        Gone { was_late }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        lock(&self.worker.running).remove(&self.number);
    }
}

impl Worker {
    /// Greets a worker that was started at the other end of `socket`.
    pub(super) fn greet(process: u32, socket: UnixStream) -> Result<Self> {
        let number = i32::try_from(process).ok().and_then(Pid::from_raw);
        let number = number.ok_or(Error::OutOfPlace {
            what: "a process without a number",
        })?;
        let handle = pidfd_open(number, PidfdFlags::empty()).map_err(std::io::Error::from)?;
        let belongings = Belongings::take(&socket)?;
        for output in &belongings.output {
            rustix::io::ioctl_fionbio(output, true).map_err(std::io::Error::from)?;
        }
        Ok(Self {
            process,
            handle,
            socket: socket.try_clone()?,
            executor: Executor::speak(Connection::unix(socket))?,
            belongings,
            end: OnceLock::new(),
            todo: Mutex::default(),
            advancing: Mutex::default(),
            sending: Mutex::default(),
            refused: Mutex::default(),
            functions: Mutex::default(),
            running: Mutex::default(),
            last_run: AtomicU64::new(0),
            late: Mutex::default(),
            master: OnceLock::new(),
            alone_since: Mutex::default(),
            was_abandoned: AtomicBool::new(false),
            was_cut_off: AtomicBool::new(false),
            was_missed: AtomicBool::new(false),
            is_blamed: AtomicBool::new(false),
            printed: Mutex::default(),
            serving: OnceLock::new(),
        })
    }

    /// What of the sandbox is there.
    pub(super) fn enforced(&self) -> Enforced {
        self.belongings.enforced
    }

    /// Has it do a change before its next call, or before the next for an image that the template could not load.
    pub(super) fn enqueue(&self, change: Arc<Change>, is_outside: bool) {
        let mut todo = lock(&self.todo);
        if is_outside {
            todo.outside.push_back(change);
        } else {
            todo.changes.push_back(change);
        }
    }

    /// Has it not load an image that it has not loaded yet. Gives whether that was so.
    pub(super) fn forget(&self, digest: Digest) -> bool {
        let Todo { changes, outside } = &mut *lock(&self.todo);
        let before = changes.len() + outside.len();
        let is_other = |change: &Arc<Change>| !matches!(&**change, Change::Load(kept) if kept.digest == digest);
        changes.retain(is_other);
        outside.retain(is_other);
        changes.len() + outside.len() < before
    }

    /// How many changes it has to do.
    pub(super) fn n_todo(&self) -> usize {
        lock(&self.todo).changes.len()
    }

    /// Does what it has to do, for an image that the template could not load or another one. Gives whether that was anything.
    pub(super) fn advance(&self, is_outside: bool) -> Result<bool, Gone> {
        let has_none =
            |todo: &Todo| todo.changes.is_empty() && (!is_outside || todo.outside.is_empty());
        if has_none(&lock(&self.todo)) {
            return Ok(false);
        }
        let is_within = Doing::of(self.channel()).is_some();
        let _turn = (!is_within).then(|| lock(&self.advancing));
        loop {
            let running = self.begin();
            let Some((change, sent)) = self.send_change(is_outside) else {
                return Ok(true);
            };
            let done = sent.and_then(|id| self.executor.answer(id));
            match (done, &*change) {
                (Ok(_), Change::Load(kept)) => {
                    lock(&self.refused).remove(&kept.digest);
                }
                (Err(Error::Failed(failure)), Change::Load(kept)) => {
                    lock(&self.refused).insert(kept.digest, failure);
                }
                (Err(error), _) if !is_answer(&error) => return Err(running.gone()),
                // A module that is in use here stays.
                _ => {}
            }
        }
    }

    /// Notes that it does something, until what this gives is dropped.
    fn begin(&self) -> Running<'_> {
        let number = self.last_run.fetch_add(1, Ordering::Relaxed);
        lock(&self.running).insert(number, Instant::now());
        Running {
            worker: self,
            number,
        }
    }

    /// Whether somebody waits for it, or did when it ended.
    pub(super) fn has_a_caller(&self) -> bool {
        !lock(&self.running).is_empty() || self.was_missed.load(Ordering::Relaxed)
    }

    fn send_change(&self, is_outside: bool) -> Option<(Arc<Change>, Result<u64>)> {
        let _turn = lock(&self.sending);
        let mut todo = lock(&self.todo);
        let next = todo.changes.pop_front();
        let next = next.or_else(|| is_outside.then(|| todo.outside.pop_front()).flatten());
        drop(todo);
        let change = next?;
        let sent = change.send(&self.executor);
        Some((change, sent))
    }

    /// Why an image is not loaded here.
    pub(super) fn refusal(&self, digest: Digest) -> Option<Failure> {
        lock(&self.refused).get(&digest).cloned()
    }

    /// Has it do what a controller asks for.
    pub(super) fn ask(
        &self,
        request: &Request<'_>,
        body: &[u8],
        file: Option<BorrowedFd<'_>>,
    ) -> Result<Frame, Gone> {
        // Sending is a part of it: one that does not read is late too.
        let running = self.begin();
        let sent = (self.executor).send_for(Interest::Awaited, request, &[body], file);
        let answer = sent.and_then(|id| self.executor.answer_frame(id));
        answer.map_err(|_| running.gone())
    }

    /// The number that it has for a function of the session's, which it is asked for the first time.
    pub(super) fn function(
        &self,
        number: u64,
        module: Digest,
        function: &str,
        signature: Option<&str>,
    ) -> Result<std::result::Result<u64, Failure>, Gone> {
        if let Some(known) = lock(&self.functions).get(&number) {
            return Ok(Ok(*known));
        }
        let module = ModuleName::Digest(module);
        let request = Request::Prepare {
            module,
            function,
            signature,
        };
        let running = self.begin();
        match self.executor.ask(&request, &[]) {
            Ok(answer) => match answer.response {
                Response::Prepared { function } => {
                    lock(&self.functions).insert(number, function);
                    Ok(Ok(function))
                }
                _ => Err(running.gone()),
            },
            Err(Error::Failed(failure)) => Ok(Err(failure)),
            Err(_) => Err(running.gone()),
        }
    }

    /// Forgets a function of the session's.
    pub(super) fn release(&self, number: u64) {
        if let Some(function) = lock(&self.functions).remove(&number) {
            self.executor
                .send_and_forget(&Request::Release { function });
        }
    }

    /// Says how its process has ended, if that is known. Who waits for an answer sees the end of the connection, also where a process that shipped code has
    /// started has it open.
    pub(super) fn set_ended(&self, status: Option<i32>) {
        let _ = self.end.set(status);
        self.close();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Becomes readable when it has ended.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Ends it if something has taken longer than this.
    pub(super) fn end_if_late(&self, deadline: Duration) {
        let running = lock(&self.running);
        let late = (running.iter()).filter(|(_, since)| since.elapsed() > deadline);
        let late: Vec<u64> = late.map(|(&number, _)| number).collect();
        // Who waits for one of these finds it there when the worker has ended.
        let mut known = lock(&self.late);
        if known.is_empty() && !late.is_empty() {
            *known = late;
            self.kill();
        }
    }

    /// Has it end when whoever is at the other end of this has gone, and something goes on for nobody.
    pub(super) fn serve_master(&self, master: Socket) {
        let _ = self.master.set(master);
    }

    /// Ends it if its master has gone and what was asked for does not end: nobody else could end it.
    pub(super) fn end_if_abandoned(&self) {
        let is_busy = !lock(&self.running).is_empty();
        let is_alone = is_busy && self.master.get().is_some_and(Socket::is_gone);
        let mut since = lock(&self.alone_since);
        match *since {
            _ if !is_alone => *since = None,
            None => *since = Some(Instant::now()),
            Some(then) if then.elapsed() > ALONE => {
                self.was_abandoned.store(true, Ordering::Relaxed);
                self.kill();
            }
            Some(_) => {}
        }
    }

    /// Whether it has ended by now, or does so within this time.
    fn ends_within(&self, time: Duration) -> bool {
        let time = Timespec::try_from(time).ok();
        let mut handle = [PollFd::new(&self.handle, PollFlags::IN)];
        matches!(poll(&mut handle, time.as_ref()), Ok(1..))
    }

    /// Whether it can be given something to do.
    pub(super) fn is_there(&self) -> bool {
        !self.has_ended() && !self.ends_within(Duration::ZERO)
    }

    /// Sees to it that it ends, whose connection has ended or is of no use any more.
    pub(super) fn see_end(&self) {
        if !self.ends_within(ENDING) {
            self.was_cut_off.store(true, Ordering::Relaxed);
            self.kill();
        }
    }

    /// Whether it is for the caller to count its end against an image: the first is.
    pub(super) fn is_to_blame(&self) -> bool {
        !self.is_blamed.swap(true, Ordering::Relaxed)
    }

    /// Has it end: nobody asks it for anything any more.
    pub(super) fn close(&self) {
        // It fails when the other end is closed.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        // It fails when it has ended.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// Its standard output and standard error.
    pub(super) fn outputs(&self) -> &[PipeReader; 2] {
        &self.belongings.output
    }

    /// The connection to it.
    pub(super) fn channel(&self) -> &Channel {
        &self.executor.shared.channel
    }

    /// Has what it calls passed to `relay`, by the supervisor's number.
    pub(super) fn relay_calls(
        &self,
        relay: impl Fn(u64, &[Value]) -> std::result::Result<Value, String> + Send + Sync + 'static,
    ) {
        self.executor.relay_calls(relay);
    }

    /// Has a thread wait for what it calls while nobody waits for it.
    pub(super) fn serve_calls(&self) {
        // Without one it waits until somebody does.
        let serve = || self.executor.serve_in_background().ok();
        self.serving.get_or_init(serve);
    }

    /// Passes what it prints from now on to `printed`, with whether it is standard error.
    pub(super) fn print_to(&self, printed: impl Fn(bool, &[u8]) + Send + 'static) {
        *lock(&self.printed) = Some(Box::new(printed));
    }

    /// Passes on what it has printed.
    pub(super) fn pass_on_output(&self) {
        // Also when there is none: what somebody else has taken is passed on then.
        let printed = lock(&self.printed);
        for (output, is_error) in self.outputs().iter().zip([false, true]) {
            if n_there(output) > 0 {
                pass_on(output, is_error, printed.as_deref());
            }
        }
    }

    /// The same. Gives whether there may be more some time, which takes asking each twice.
    pub(super) fn pass_on_to_the_end(&self) -> bool {
        let printed = lock(&self.printed);
        let [output, errors] = self.outputs();
        let printed = printed.as_deref();
        // Both, whatever is so of the first.
        let are_open = [
            pass_on(output, false, printed),
            pass_on(errors, true, printed),
        ];
        are_open.contains(&true)
    }

    /// What is known of its end, which has come.
    pub(super) fn last_words(&self) -> Ended {
        let mut report = [0; 4096];
        let n_bytes = self.belongings.report.read_at(&mut report, 0);
        Ended {
            status: self.end.get().copied().flatten(),
            crash: Crash::read(&report[..n_bytes.unwrap_or(0)]).map(Box::new),
            is_late: !lock(&self.late).is_empty(),
            was_cut_off: self.was_cut_off.load(Ordering::Relaxed),
            was_abandoned: self.was_abandoned.load(Ordering::Relaxed),
        }
    }
}

/// How many bytes can be read.
fn n_there(output: &PipeReader) -> u64 {
    ioctl_fionread(output).unwrap_or(0)
}

/// Passes on what is there. Gives whether there may be more some time.
///
/// What is printed meanwhile is for the next time: else who waits for this would wait for as long as it is printed.
fn pass_on(mut output: &PipeReader, is_error: bool, printed: Option<&PrintedTo>) -> bool {
    let mut rest = n_there(output);
    let mut piece = [0; 4096];
    loop {
        match output.read(&mut piece) {
            Ok(0) => return false,
            Ok(n_bytes) => {
                if let Some(printed) = printed {
                    printed(is_error, &piece[..n_bytes]);
                }
                rest = rest.saturating_sub(n_bytes as u64);
                if rest == 0 {
                    return true;
                }
            }
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The thread that serves it has the connection too.
        self.close();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

/// The request, as a worker knows function numbers and modules by digests.
pub(super) fn with_callee<'a>(request: Request<'a>, callee: Callee<'a>, keep: Keep) -> Request<'a> {
    match request {
        Request::Call {
            arguments, order, ..
        } => Request::Call {
            function: callee,
            arguments,
            order: match keep {
                Keep::Session => order,
                // It is alone there.
                Keep::Call => Order::InTurn,
            },
        },
        other => other,
    }
}

/// What is locked is whole also after a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
