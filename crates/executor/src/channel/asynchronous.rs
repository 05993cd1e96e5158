//! What futures need of a channel: that somebody reads while no thread waits, and that sending does not wait.
//!
//! Two threads do that, each started when it is first needed: one reads while futures wait for answers, the other writes what could not be
//! written at once. Where only threads ask there are none.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use farcall_protocol::Frame;

use super::{Channel, End, Inbox, Interest, Sender, Wanted, lock};
use crate::transport::{Parcel, Sent, Socket};
use crate::{Error, Result};

/// While more than this waits to be written, in bytes, futures wait before they add to it.
const MOST_UNSENT: usize = 1 << 20;

/// Futures that wait for answers.
#[derive(Default)]
pub(super) struct Futures {
    /// By the ids of their requests.
    wakers: HashMap<u64, Waker>,
    /// Of those whose answers have come.
    woken: Vec<Waker>,
    /// Requests that could not be sent, though the connection goes on.
    failed: HashMap<u64, Error>,
    reader: Thread,
    is_closed: bool,
}

impl Futures {
    /// Notes that an answer has come.
    pub(super) fn answered(&mut self, id: u64) {
        // Most connections have no futures.
        if !self.wakers.is_empty() {
            self.woken.extend(self.wakers.remove(&id));
        }
    }

    fn is_idle(&self) -> bool {
        self.wakers.is_empty() && self.woken.is_empty() && !self.is_closed
    }
}

/// A thread of the channel's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Thread {
    #[default]
    None,
    Runs,
}

/// What there is to do for the thread that reads.
enum Next {
    Woken(Vec<Waker>),
    Request(Frame),
}

/// Requests that could not be written at once, in their order.
#[derive(Default)]
pub(super) struct Outbox {
    queue: VecDeque<Unsent>,
    n_bytes: usize,
    /// The one that is being written.
    writing: Option<u64>,
    /// Those that cannot be written, or not all of them, because the connection has failed.
    broken: HashSet<u64>,
    /// Ids of requests that wait until there is room.
    waiting: Vec<u64>,
    writer: Thread,
}

struct Unsent {
    id: u64,
    bytes: Vec<u8>,
    file: Option<OwnedFd>,
    /// Whether the part before these bytes is written.
    is_begun: bool,
}

/// A request to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Sending<'a> {
    pub(crate) id: u64,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [&'a [u8]],
    pub(crate) file: Option<BorrowedFd<'a>>,
    /// Whether it is part of what the other side asks for, which waits for it.
    pub(crate) at_once: bool,
}

impl Sending<'_> {
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            ids: std::slice::from_ref(&self.id),
            interest: Interest::Sent,
            at_once: self.at_once,
        }
    }

    fn size(&self) -> usize {
        self.head.len() + self.body.iter().map(|part| part.len()).sum::<usize>()
    }
}

impl Channel {
    /// Sends a request without waiting. When much is to be written before it, it is not sent yet: then the waker is told when there is
    /// room.
    pub(crate) fn poll_request(
        self: &Arc<Self>,
        request: Sending<'_>,
        context: &Context<'_>,
    ) -> Poll<Result<()>> {
        if request.at_once {
            return Poll::Ready(self.send_at_once(request));
        }
        let mut outbox = lock(&self.outbox);
        if outbox.n_bytes < MOST_UNSENT {
            return Poll::Ready(self.send_or_keep(outbox, request));
        }
        outbox.waiting.push(request.id);
        drop(outbox);
        match self.register(self.inbox(), request.id, context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Sends a request whose answer nobody wants, without waiting.
    pub(crate) fn post(self: &Arc<Self>, request: Sending<'_>) -> Result<()> {
        if request.at_once {
            self.send_at_once(request)?;
        } else {
            self.send_or_keep(lock(&self.outbox), request)?;
        }
        self.give_up(request.id);
        Ok(())
    }

    /// Sends what others may wait for, on a thread that may wait.
    fn send_at_once(&self, request: Sending<'_>) -> Result<()> {
        let Sending { head, body, .. } = request;
        let sent = self.request(request.wanted(), head, body, request.file);
        match sent.map(drop) {
            Err(error) => self.is_unsendable(&mut lock(&self.outbox), request.id, error),
            sent => sent,
        }
    }

    fn send_or_keep(
        self: &Arc<Self>,
        mut outbox: MutexGuard<'_, Outbox>,
        request: Sending<'_>,
    ) -> Result<()> {
        let id = request.id;
        if let Some(end) = &self.inbox().end {
            return Err(end.clone().error());
        }
        (self.meter.sent).fetch_add(request.size() as u64, Ordering::Relaxed);
        let mut parcel = Parcel::new(&[], request.head, request.body, request.file);
        let is_first = outbox.queue.is_empty() && outbox.writing.is_none();
        // Kept until the rest is where whoever writes next looks for it.
        let sender = is_first.then(|| self.outgoing.try_lock().ok()).flatten();
        let sender = sender.filter(|sender| sender.stream.can_be_blocked());
        let Some(mut sender) = sender else {
            return self.keep_unsent(&mut outbox, id, &parcel, false);
        };
        if !self.expect(request.wanted()) {
            return self.keep_unsent(&mut outbox, id, &parcel, false);
        }
        match sender.stream.send(&mut parcel).map_err(Error::from) {
            Ok(Sent::All) => Ok(()),
            Ok(Sent::Blocked) => {
                let is_begun = parcel.size() < request.size();
                self.keep_unsent(&mut outbox, id, &parcel, is_begun)
            }
            Err(error) => self.is_unsendable(&mut outbox, id, error),
        }
    }

    fn is_unsendable(&self, outbox: &mut Outbox, id: u64, error: Error) -> Result<()> {
        if is_end(&error) {
            // Whoever reads says why.
            outbox.broken.insert(id);
            return Ok(());
        }
        // Such as a file that the system does not pass on: no answer comes.
        self.inbox().expected.remove(&id);
        Err(error)
    }

    fn keep_unsent(
        self: &Arc<Self>,
        outbox: &mut Outbox,
        id: u64,
        parcel: &Parcel<'_>,
        is_begun: bool,
    ) -> Result<()> {
        let file = parcel.file().map(|file| file.try_clone_to_owned());
        let file = file.transpose()?;
        if outbox.writer == Thread::None {
            let channel = Arc::clone(self);
            if let Err(error) = start("farcall-write", move || channel.write_unsent()) {
                if is_begun {
                    self.break_off(End::OutOfPlace("a request that is not written to its end"));
                }
                return Err(error);
            }
            outbox.writer = Thread::Runs;
        }
        let bytes = parcel.to_vec();
        outbox.n_bytes += bytes.len();
        outbox.queue.push_back(Unsent {
            id,
            bytes,
            file,
            is_begun,
        });
        self.has_unsent.store(true, Ordering::Release);
        self.unsent.notify_one();
        // The thread that reads has seen that, or waits.
        drop(self.inbox());
        self.wanted.notify_one();
        Ok(())
    }

    /// The thread that writes.
    fn write_unsent(&self) {
        loop {
            let outbox = lock(&self.outbox);
            let outbox = (self.unsent)
                .wait_while(outbox, |outbox| {
                    outbox.queue.is_empty() && !self.is_closed()
                })
                .unwrap_or_else(PoisonError::into_inner);
            let is_begun = outbox.queue.front().is_some_and(|unsent| unsent.is_begun);
            drop(outbox);
            // Not while this thread has the stream, which those may need who make room.
            let has_ended =
                !is_begun && (self.wait_for(|inbox| self.has_room(inbox).then_some(()))).is_err();
            if has_ended || self.is_closed() || self.send_unsent(&mut lock(&self.outgoing)).is_err()
            {
                // Whoever reads says why.
                return;
            }
        }
    }

    /// Writes what could not be written at once, before anything else is, as far as there may be as many requests without an answer.
    pub(super) fn send_unsent(&self, sender: &mut Sender) -> Result<()> {
        while self.has_unsent.load(Ordering::Acquire) {
            let mut outbox = lock(&self.outbox);
            let may_be_sent = outbox.queue.front().map(|unsent| {
                let wanted = Wanted {
                    ids: &[unsent.id],
                    interest: Interest::Sent,
                    at_once: false,
                };
                unsent.is_begun || self.expect(wanted)
            });
            if may_be_sent == Some(false) {
                break;
            }
            let Some(unsent) = outbox.queue.pop_front() else {
                self.has_unsent.store(false, Ordering::Release);
                break;
            };
            outbox.writing = Some(unsent.id);
            drop(outbox);
            let written = self.write(sender, &unsent);
            let mut outbox = lock(&self.outbox);
            outbox.n_bytes -= unsent.bytes.len();
            outbox.writing = None;
            let mut woken = Vec::new();
            if outbox.n_bytes < MOST_UNSENT {
                woken.append(&mut outbox.waiting);
            }
            let failed = match written {
                Ok(()) => Ok(()),
                Err(error) if unsent.file.is_some() && !is_end(&error) => {
                    let mut inbox = self.inbox();
                    inbox.expected.remove(&unsent.id);
                    inbox.futures.failed.insert(unsent.id, error);
                    woken.push(unsent.id);
                    Ok(())
                }
                Err(error) => {
                    outbox.broken.insert(unsent.id);
                    Err(error)
                }
            };
            drop(outbox);
            self.wake(&woken);
            if let Err(error) = failed {
                if let (false, Error::Connection(error)) = (is_end(&error), &error) {
                    self.break_off(End::System(error.kind(), error.to_string()));
                    self.wake_all();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn write(&self, sender: &mut Sender, unsent: &Unsent) -> Result<()> {
        let file = unsent.file.as_ref().map(|file| file.as_fd());
        self.send_all(sender, Parcel::new(&[], &unsent.bytes, &[], file))
    }

    /// Tells futures to look again.
    fn wake(&self, ids: &[u64]) {
        if ids.is_empty() {
            return;
        }
        let mut inbox = self.inbox();
        let wakers = &mut inbox.futures.wakers;
        let woken: Vec<Waker> = ids.iter().filter_map(|id| wakers.remove(id)).collect();
        drop(inbox);
        woken.into_iter().for_each(Waker::wake);
    }

    /// The answer to a request that was sent, or else the waker is told when it comes.
    pub(crate) fn poll_answer_in(
        self: &Arc<Self>,
        id: u64,
        context: &Context<'_>,
    ) -> Poll<Result<Frame>> {
        let mut inbox = self.inbox();
        if let Some(frame) = inbox.answers.remove(&id) {
            return Poll::Ready(Ok(frame));
        }
        match self.register(inbox, id, context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Has a future woken, and somebody read for it.
    fn register(
        self: &Arc<Self>,
        mut inbox: MutexGuard<'_, Inbox>,
        id: u64,
        context: &Context<'_>,
    ) -> Result<()> {
        if let Some(error) = inbox.futures.failed.remove(&id) {
            return Err(error);
        }
        if let Some(end) = &inbox.end {
            return Err(end.clone().error());
        }
        if inbox.futures.reader == Thread::None {
            let channel = Arc::clone(self);
            start("farcall-read", move || channel.read_for_futures())?;
            inbox.futures.reader = Thread::Runs;
        }
        let wakers = &mut inbox.futures.wakers;
        let before = match wakers.get(&id) {
            Some(waker) if waker.will_wake(context.waker()) => None,
            _ => wakers.insert(id, context.waker().clone()),
        };
        self.wanted.notify_one();
        drop(inbox);
        // It may be the last that knows a task with other requests of this connection, and so not go under the lock.
        drop(before);
        Ok(())
    }

    /// The thread that reads while futures wait.
    fn read_for_futures(&self) {
        loop {
            let inbox = (self.wanted)
                .wait_while(self.inbox(), |inbox| {
                    inbox.futures.is_idle() && !self.has_unsent.load(Ordering::Acquire)
                })
                .unwrap_or_else(PoisonError::into_inner);
            if inbox.futures.is_closed {
                return;
            }
            drop(inbox);
            let served = self.served.get();
            let next = self.wait_for(|inbox| {
                let futures = &mut inbox.futures;
                // An executor that waits until its answers are read does not read what is to be written.
                let is_done = futures.wakers.is_empty() && !self.has_unsent.load(Ordering::Acquire);
                if is_done || !futures.woken.is_empty() {
                    return Some(Next::Woken(std::mem::take(&mut futures.woken)));
                }
                served?;
                inbox.take_other().map(Next::Request)
            });
            match (next, served) {
                (Ok(Next::Woken(woken)), _) => woken.into_iter().for_each(Waker::wake),
                (Ok(Next::Request(frame)), Some(served)) => served(frame),
                _ => return self.wake_all(),
            }
        }
    }

    /// Tells all futures that the connection has ended.
    fn wake_all(&self) {
        let mut inbox = self.inbox();
        let futures = &mut inbox.futures;
        let wakers = std::mem::take(&mut futures.wakers).into_values();
        let woken: Vec<Waker> = wakers.chain(futures.woken.drain(..)).collect();
        drop(inbox);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Forgets a future's request. What is not begun to be written never is; otherwise nobody gets its answer. Gives whether the executor
    /// may know of it.
    pub(crate) fn give_up(&self, id: u64) -> bool {
        let mut outbox = lock(&self.outbox);
        outbox.waiting.retain(|&waiting| waiting != id);
        outbox.broken.remove(&id);
        let unsent = outbox.queue.iter().position(|unsent| unsent.id == id);
        let is_begun = unsent.is_some_and(|index| outbox.queue[index].is_begun);
        if let (Some(index), false) = (unsent, is_begun) {
            let unsent = outbox.queue.remove(index);
            outbox.n_bytes -= unsent.map_or(0, |unsent| unsent.bytes.len());
            drop(outbox);
            self.forget(id);
            return false;
        }
        let mut inbox = self.inbox();
        let is_answered = inbox.answers.remove(&id).is_some();
        let is_expected = !is_answered && inbox.interest(id, Interest::Abandoned);
        drop(inbox);
        drop(outbox);
        self.forget(id);
        is_expected
    }

    fn forget(&self, id: u64) {
        let mut inbox = self.inbox();
        let waker = inbox.futures.wakers.remove(&id);
        inbox.futures.failed.remove(&id);
        drop(inbox);
        // Not under the lock, as above.
        drop(waker);
    }

    /// Whether the executor cannot know of a request that fails, because not all of it was written.
    pub(crate) fn is_unsent(&self, id: u64) -> bool {
        let outbox = lock(&self.outbox);
        let is_broken = outbox.broken.contains(&id) || outbox.writing == Some(id);
        is_broken || outbox.queue.iter().any(|unsent| unsent.id == id)
    }

    /// Whether nothing more comes.
    pub(crate) fn has_ended(&self) -> bool {
        self.inbox().end.is_some()
    }

    /// Whether the other side has closed its end of a connection over TCP. One within the system says so when it is written to.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::has_hung_up)
    }

    /// What it goes over, if that can be asked anything.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref()
    }

    /// Whether futures have waited for answers.
    pub(crate) fn is_asynchronous(&self) -> bool {
        self.inbox().futures.reader == Thread::Runs
    }

    /// Ends the connection, and the threads for futures. One of those that reads what is no socket goes on until something comes.
    pub(crate) fn close(&self) {
        self.inbox().futures.is_closed = true;
        self.break_off(End::Closed { in_frame: false });
        // The thread that writes has seen that, or waits.
        drop(lock(&self.outbox));
        self.unsent.notify_all();
        self.wake_all();
    }

    /// Ends the connection, after which nothing can be written or need be read.
    fn break_off(&self, end: End) {
        let mut inbox = self.inbox();
        inbox.end.get_or_insert(end);
        self.changed.notify_all();
        self.wanted.notify_all();
        drop(inbox);
        if let Some(socket) = &self.socket {
            socket.shut_down();
        }
    }

    fn is_closed(&self) -> bool {
        self.inbox().futures.is_closed
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    let started = thread.spawn(run).map(drop);
    started.map_err(Error::system("start a thread"))
}

/// Whether nothing more can be written.
fn is_end(error: &Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    match error {
        Error::Connection(error) => {
            matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
        }
        _ => true,
    }
}
