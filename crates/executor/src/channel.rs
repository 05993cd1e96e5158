//! A connection in use: requests and answers in both directions, for many threads at once, without a thread of its own.
//!
//! Of the threads that wait for something, one reads, and gives the others what is theirs; when it has its own, the next one
//! reads. So that where one thread asks, as is usual, it reads its own answer, and nobody is woken for it.

mod asynchronous;
mod inbox;
mod reading;
mod stopping;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use farcall_protocol::{Deframer, Envelope, Failure, Frame, HELLO_LIMIT, NO_REQUEST};

use asynchronous::Outbox;
pub(crate) use asynchronous::Sending;
pub(crate) use inbox::Interest;
use inbox::{End, Inbox};
pub(crate) use stopping::Next;

use crate::counters::Meter;
use crate::patience::Patience;
use crate::ring::Ring;
use crate::transport::{Connection, Incoming, Outgoing, Parcel, Sent, Socket};
use crate::{Error, Result};

/// The most requests that wait for their turn in memory, as they do while a call waits for an answer of the controller's. The other side
/// keeps to it: it has no more requests without answers, once it has to.
const MOST_QUEUED: usize = 1024;

/// Requests are read ahead while those that wait take less than this, in bytes.
const MOST_AHEAD: usize = 1 << 20;

/// The most files that wait for the requests which they belong to.
const MOST_FILES: usize = 64;

/// Answers that are written together take no more than this, in bytes.
const MOST_GATHERED: usize = 16 << 10;

/// How long a thread of a controller waits to send before it looks whether it has to read too.
const TURN: Duration = Duration::from_millis(10);

/// Which end it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    /// That which asks, and reads what the other says without being asked so.
    Controller(fn(&[u8]) -> farcall_protocol::Result<Word>),
    /// That which answers, and waits no longer than this for the other to read an answer.
    Executor(Duration),
}

impl Side {
    fn asks(self) -> bool {
        matches!(self, Self::Controller(_))
    }
}

/// What an executor says that is no answer.
#[derive(Debug)]
pub(crate) enum Word {
    Last(Failure),
    /// The last bytes are what shipped code has printed.
    Printed {
        is_error: bool,
        n_bytes: usize,
    },
    Other,
}

/// Is told what shipped code has printed.
type Printed = Box<dyn Fn(bool, &[u8]) + Send + Sync>;

/// Does what the other side asks for, without waiting until it is done.
type Served = Box<dyn Fn(Frame) + Send + Sync>;

/// One end of a connection.
pub(crate) struct Channel {
    side: Side,
    incoming: Mutex<Receiver>,
    outgoing: Mutex<Sender>,
    inbox: Mutex<Inbox>,
    /// Files that came with what has not been looked at, in the order of the requests which they belong to.
    files: Mutex<Files>,
    /// Notified when the inbox has something, or the one that read stops.
    changed: Condvar,
    /// Notified when a future waits.
    wanted: Condvar,
    /// What futures could not send at once; nobody takes this lock who has that of the inbox.
    outbox: Mutex<Outbox>,
    has_unsent: AtomicBool,
    /// Notified when the outbox has something.
    unsent: Condvar,
    /// What the connection goes over, to end it.
    socket: Option<Socket>,
    /// The longest payload that the other side takes, in bytes.
    peer_limit: AtomicU32,
    /// Whether the next frame is there already.
    has_more: AtomicBool,
    /// Whether answers have been gathered that are not written.
    has_gathered: AtomicBool,
    /// How many requests may be without an answer when another one is sent.
    most_sent: AtomicUsize,
    pub(crate) meter: Arc<Meter>,
    /// Requests of the other side's that threads do which do not read for more.
    n_beside: AtomicUsize,
    /// Whether requests that come now are late.
    is_stopping: AtomicBool,
    printed: OnceLock<Printed>,
    served: OnceLock<Served>,
}

#[derive(Default)]
struct Files {
    waiting: VecDeque<OwnedFd>,
    /// Where they come if frames do not.
    beside: Option<Socket>,
}

struct Receiver {
    stream: Incoming,
    deframer: Deframer,
    /// Until the other side's hello has come.
    patience: Option<Patience>,
}

struct Sender {
    stream: Outgoing,
    /// Answers to be written with the next.
    gathered: Vec<u8>,
}

/// What a thread gets that waits.
#[derive(Debug)]
pub(crate) enum Event {
    Answer(Frame),
    Request(Frame),
    /// A request that has nothing to do with the answer that is waited for.
    Other(Frame),
}

/// What a thread does with requests that have nothing to do with the answer that it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// They are left alone.
    None,
    /// It does them. What belongs to its answer somebody else may do meanwhile.
    Done,
    /// It has others do them.
    PassedOn,
}

/// What answers are to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) ids: &'a [u64],
    pub(crate) interest: Interest,
    /// Whether what is asked is part of what the other side asks for.
    pub(crate) at_once: bool,
}

/// Whether an answer may wait for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// It is written now.
    Now,
    /// It is written with those after it, if more requests are there, and before anything is waited for.
    Gather,
}

impl Channel {
    pub(crate) fn new(side: Side, connection: Connection) -> Self {
        let most_sent = if connection.outgoing.can_be_blocked() {
            usize::MAX
        } else {
            // Of these nobody can tell whether they take more, while the other side waits until its answers are read.
            1
        };
        Self {
            side,
            socket: connection.outgoing.socket(),
            incoming: Mutex::new(Receiver {
                stream: connection.incoming,
                deframer: Deframer::new(HELLO_LIMIT),
                patience: None,
            }),
            outgoing: Mutex::new(Sender {
                stream: connection.outgoing,
                gathered: Vec::new(),
            }),
            inbox: Mutex::default(),
            files: Mutex::default(),
            changed: Condvar::new(),
            wanted: Condvar::new(),
            outbox: Mutex::default(),
            has_unsent: AtomicBool::new(false),
            unsent: Condvar::new(),
            peer_limit: AtomicU32::new(HELLO_LIMIT),
            has_more: AtomicBool::new(false),
            has_gathered: AtomicBool::new(false),
            most_sent: AtomicUsize::new(most_sent),
            meter: Arc::default(),
            n_beside: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
            printed: OnceLock::new(),
            served: OnceLock::new(),
        }
    }

    /// Has what shipped code prints passed on. The first that is given stays.
    pub(crate) fn on_output(&self, printed: Printed) {
        let _ = self.printed.set(printed);
    }

    /// From now on no more requests are without an answer than the other side can keep while it waits for one of ours; what it asks for while only
    /// futures wait is passed to `served`. The first that is given stays.
    pub(crate) fn is_called_back(&self, served: Served) {
        self.most_sent.fetch_min(MOST_QUEUED / 2, Ordering::Relaxed);
        let _ = self.served.set(served);
    }

    /// Reads the first frame, `None` at the end; from then on frames may have a payload of this many bytes.
    pub(crate) fn greet<T>(
        &self,
        patience: Patience,
        limit: u32,
        read: impl FnOnce(&[u8]) -> farcall_protocol::Result<(T, u32)>,
    ) -> Result<Option<T>> {
        lock(&self.incoming).patience = Some(patience);
        let frame = match self.receive_first() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(_) if self.has_parted() => return Ok(None),
            Err(End::System(io::ErrorKind::WouldBlock, _)) => return Err(Error::NoHello),
            Err(end) => return Err(self.not_a_hello(end.error())),
        };
        let (hello, peer_limit) = read(&frame)?;
        self.peer_limit.store(peer_limit, Ordering::Relaxed);
        let mut receiver = lock(&self.incoming);
        receiver.deframer.set_limit(limit);
        receiver.patience = None;
        if let (Side::Controller(read), Ok(Some(frame))) = (self.side, receiver.deframer.peek())
            && Envelope::decode(frame, true).is_ok_and(|it| it.id == NO_REQUEST)
            && let Word::Last(failure) = read(frame)?
        {
            // It came with the hello: the executor serves no more than it does.
            return Err(Error::Failed(failure));
        }
        Ok(Some(hello))
    }

    /// Whatever is no frame starts with a length that is none: who asks has to know that nobody there understands it.
    fn not_a_hello(&self, error: Error) -> Error {
        match error {
            Error::Protocol(farcall_protocol::Error::FrameTooLong { .. }) if self.side.asks() => {
                farcall_protocol::Error::NotFarcall.into()
            }
            other => other,
        }
    }

    /// The longest payload that the other side takes, in bytes.
    pub(crate) fn peer_limit(&self) -> u32 {
        self.peer_limit.load(Ordering::Relaxed)
    }

    pub(crate) fn passes_files(&self) -> bool {
        lock(&self.outgoing).stream.passes_files()
    }

    /// Whether it is to another machine.
    pub(crate) fn is_far(&self) -> bool {
        lock(&self.outgoing).stream.is_far()
    }

    /// Bytes sent and received.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        self.meter.read()
    }

    /// The file that came with a request.
    pub(crate) fn take_file(&self, id: u64) -> Option<OwnedFd> {
        self.inbox().files.remove(&id)
    }

    /// The file that came first, of those that no request has.
    fn next_file(&self) -> Option<OwnedFd> {
        let mut files = lock(&self.files);
        files.waiting.pop_front().or_else(|| {
            // One that fails has ended, which is said where frames come.
            files.beside.as_ref()?.file().ok()?
        })
    }

    /// The socket that passes files.
    pub(crate) fn local(&self) -> Option<Socket> {
        lock(&self.outgoing).stream.local().cloned()
    }

    /// Goes on through a ring beside a socket, when nothing is on its way.
    pub(crate) fn go_on(&self, ring: Ring, socket: Socket) -> Result<()> {
        let mut receiver = lock(&self.incoming);
        if receiver.deframer.is_in_frame() {
            let what = "more on the old way after memory is shared";
            return Err(Error::OutOfPlace { what });
        }
        receiver.stream = Incoming::Ring(ring.reader);
        lock(&self.files).beside = Some(socket.clone());
        lock(&self.outgoing).stream = Outgoing::Ring(ring.writer, socket);
        Ok(())
    }

    /// Says that nobody waits for the answer to a request any more.
    pub(crate) fn abandon(&self, id: u64) {
        let mut inbox = self.inbox();
        if inbox.answers.remove(&id).is_none() {
            inbox.interest(id, Interest::Abandoned);
        }
    }

    /// Whether the stream can be waited for in both directions, so that requests need not wait for the answers to those before.
    pub(crate) fn is_pipelined(&self) -> bool {
        lock(&self.outgoing).stream.can_be_blocked()
    }

    /// Sends requests, one or several at once, when there may be as many without an answer, or at once: the frame of the first, which `head`
    /// starts, with those after it in `body`, and a file with the first.
    ///
    /// Before that gives what the other side asks for, and sends nothing: it is to be done first, as it may be what the answers before wait for.
    pub(crate) fn request(
        &self,
        wanted: Wanted<'_>,
        head: &[u8],
        body: &[&[u8]],
        file: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Frame>> {
        let mut sender = loop {
            let mut sender = lock(&self.outgoing);
            self.send_unsent(&mut sender)?;
            if self.expect(wanted) {
                break sender;
            }
            // Who makes room may have to send something first.
            drop(sender);
            if let Some(frame) = self.wait_for_room()? {
                return Ok(Some(frame));
            }
        };
        let size = head.len() + body.iter().map(|part| part.len()).sum::<usize>();
        self.meter.sent.fetch_add(size as u64, Ordering::Relaxed);
        self.send_all(&mut sender, Parcel::new(&[], head, body, file))?;
        Ok(None)
    }

    /// Whether nothing is without an answer.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.inbox().expected.is_empty()
    }

    /// As [`Channel::request`], but only when nothing else is without an answer: gives whether it was sent.
    pub(crate) fn request_alone(
        &self,
        wanted: Wanted<'_>,
        head: &[u8],
        body: &[&[u8]],
    ) -> Result<bool> {
        let mut sender = lock(&self.outgoing);
        self.send_unsent(&mut sender)?;
        if !self.is_at_rest() || !self.expect(wanted) {
            return Ok(false);
        }
        let size = head.len() + body.iter().map(|part| part.len()).sum::<usize>();
        self.meter.sent.fetch_add(size as u64, Ordering::Relaxed);
        self.send_all(&mut sender, Parcel::new(&[], head, body, None))?;
        Ok(true)
    }

    /// Says that answers are to come, if there may be as many.
    fn expect(&self, wanted: Wanted<'_>) -> bool {
        let mut inbox = self.inbox();
        let is_room = wanted.at_once || self.has_room(&inbox);
        if is_room {
            let ids = wanted.ids.iter();
            inbox.expected.extend(ids.map(|&id| (id, wanted.interest)));
        }
        is_room
    }

    fn has_room(&self, inbox: &Inbox) -> bool {
        inbox.expected.len() < self.most_sent.load(Ordering::Relaxed)
    }

    /// Waits until another request may be sent, or the other side asks for something.
    fn wait_for_room(&self) -> Result<Option<Frame>> {
        let waited = self.wait_for(|inbox| {
            if self.has_room(inbox) {
                return Some(None);
            }
            inbox.take_other().map(Some)
        });
        waited.map_err(End::error)
    }

    /// Says that this thread waits for an answer of the other side's, unless as many do as may.
    pub(crate) fn expect_here(&self, id: u64) -> bool {
        let mut inbox = self.inbox();
        let is_room = inbox.expected.len() < MOST_QUEUED;
        if is_room {
            inbox.expected.insert(id, Interest::Awaited);
        }
        is_room
    }

    /// Writes a frame that `head` starts and `body` ends.
    pub(crate) fn send(&self, head: &[u8], body: &[&[u8]], haste: Haste) -> Result<()> {
        let size = head.len() + body.iter().map(|part| part.len()).sum::<usize>();
        let mut sender = lock(&self.outgoing);
        self.send_unsent(&mut sender)?;
        self.meter.sent.fetch_add(size as u64, Ordering::Relaxed);
        if haste == Haste::Gather
            && sender.gathered.len() + size <= MOST_GATHERED
            && self.has_more.load(Ordering::Relaxed)
        {
            sender.gathered.extend_from_slice(head);
            body.iter()
                .for_each(|part| sender.gathered.extend_from_slice(part));
            self.has_gathered.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let before = std::mem::take(&mut sender.gathered);
        self.has_gathered.store(false, Ordering::Relaxed);
        let parcel = Parcel::new(&before, head, body, None);
        let sent = self.send_all(&mut sender, parcel);
        // The memory is for the next.
        sender.gathered = before;
        sender.gathered.clear();
        sent
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&self) -> Result<()> {
        if self.has_gathered.load(Ordering::Relaxed) {
            self.send(&[], &[], Haste::Now)?;
        }
        Ok(())
    }

    /// Waits for the thread that writes, if one does: what was gathered here it may have taken with an answer of its own.
    pub(crate) fn let_write(&self) {
        drop(lock(&self.outgoing));
    }

    fn send_all(&self, sender: &mut Sender, mut parcel: Parcel<'_>) -> Result<()> {
        while sender.stream.send(&mut parcel)? == Sent::Blocked {
            let Some(blocked) = sender.stream.blocked(&parcel) else {
                return Err(io::Error::from(io::ErrorKind::WouldBlock).into());
            };
            // An executor that waits until its answers are read does not read, so that a controller has to read while it
            // waits until its requests are.
            let reads = self.side.asks() && self.start_reading();
            let most = match self.side {
                Side::Controller(_) if reads => None,
                // Another reads, and may stop.
                Side::Controller(_) => Some(TURN),
                Side::Executor(most) => sender.stream.can_be_cut().then_some(most),
            };
            let ready = blocked.wait(reads, most);
            if reads {
                let frame = match ready {
                    Ok(ready) if ready.to_read => Some(self.receive()),
                    _ => None,
                };
                let mut inbox = self.inbox();
                if let Some(frame) = frame {
                    self.deliver(&mut inbox, frame);
                }
                self.stop_reading(&mut inbox);
                if inbox.end.is_some() {
                    // Who waits for the answer says why.
                    return Ok(());
                }
            }
            let ready = ready?;
            if matches!(self.side, Side::Executor(_)) && !ready.to_read && !ready.to_write {
                // Part of a frame may have been written, after which nothing else can be.
                if let Some(socket) = sender.stream.socket() {
                    socket.shut_down();
                }
                return Err(Error::Unread);
            }
        }
        Ok(())
    }

    /// Waits for the answer to a request, for what is asked for in order to answer it, and for other requests unless these are left alone; `None` at the
    /// end of the stream.
    pub(crate) fn wait(&self, answer: Option<u64>, others: Others) -> Result<Option<Event>> {
        let mut is_first = true;
        let event = self.wait_for(|inbox| {
            if let Some(id) = answer {
                // It came before the answer.
                if let Some(frame) = inbox.take_within(id) {
                    return Some(Event::Request(frame));
                }
                if let Some(frame) = inbox.answers.remove(&id) {
                    return Some(Event::Answer(frame));
                }
                if std::mem::take(&mut is_first) {
                    inbox.interest(id, Interest::Awaited);
                }
            }
            if others == Others::None {
                return None;
            }
            let frame = inbox.take_other()?;
            let Some(id) = answer else {
                return Some(Event::Request(frame));
            };
            if others == Others::Done {
                inbox.interest(id, Interest::Sent);
            }
            Some(Event::Other(frame))
        });
        match event {
            Ok(event) => Ok(Some(event)),
            Err(End::Closed { in_frame: false }) if answer.is_none() => Ok(None),
            Err(end) => Err(end.error()),
        }
    }

    /// Waits until the inbox has what is wanted, and reads meanwhile if nobody does.
    fn wait_for<T>(&self, mut take: impl FnMut(&mut Inbox) -> Option<T>) -> Result<T, End> {
        let mut inbox = self.inbox();
        loop {
            if let Some(taken) = take(&mut inbox) {
                return Ok(taken);
            }
            if let Some(end) = &inbox.end {
                return Err(end.clone());
            }
            if inbox.reading {
                if self.has_gathered.load(Ordering::Relaxed) {
                    // The thread that reads may have begun before this was gathered.
                    drop(inbox);
                    self.flush().map_err(End::of)?;
                    inbox = self.inbox();
                    continue;
                }
                inbox.n_waiting += 1;
                inbox = (self.changed.wait(inbox)).unwrap_or_else(PoisonError::into_inner);
                inbox.n_waiting -= 1;
                continue;
            }
            inbox.reading = true;
            drop(inbox);
            let frame = self.receive();
            inbox = self.inbox();
            self.deliver(&mut inbox, frame);
            self.stop_reading(&mut inbox);
        }
    }

    /// Gives a thread that waits for it an answer without the other side.
    pub(crate) fn answer_here(&self, id: u64) {
        self.inbox().answers.insert(id, Frame::default());
        self.changed.notify_all();
    }

    /// Ends the connection for all that wait for something, and for those who will.
    pub(crate) fn fail(&self, error: Error) {
        let mut inbox = self.inbox();
        inbox.end.get_or_insert(End::of(error));
        self.changed.notify_all();
        let is_read = inbox.reading;
        drop(inbox);
        if let (true, Some(socket)) = (is_read, &self.socket) {
            // The thread that reads sees it only when something comes.
            socket.shut_down();
        }
    }

    /// What is there already, without waiting.
    pub(crate) fn poll_answer(&self, id: u64) -> Option<Result<Frame>> {
        let mut inbox = self.inbox();
        if let Some(frame) = inbox.answers.remove(&id) {
            return Some(Ok(frame));
        }
        inbox.end.clone().map(|end| Err(end.error()))
    }

    /// Whether a request is not to be begun, as far as that is known.
    pub(crate) fn is_cancelled(&self, id: u64) -> bool {
        let cancelled = &mut self.inbox().cancelled;
        !cancelled.is_empty() && cancelled.remove(&id)
    }

    /// Forgets a request that was to be cancelled if it was begun before.
    pub(crate) fn too_late(&self, id: u64) {
        let mut inbox = self.inbox();
        let within = inbox.within.iter().map(|(_, frame)| frame);
        let mut waiting = inbox.requests.iter().chain(within);
        let is_it = |frame: &Frame| Envelope::decode(frame, false).is_ok_and(|it| it.id == id);
        if !waiting.any(is_it) {
            inbox.cancelled.remove(&id);
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }
}

/// Counts more, under a lock: nobody else does at the same time.
fn add(count: &AtomicU64, more: usize) {
    let sum = count.load(Ordering::Relaxed) + more as u64;
    count.store(sum, Ordering::Relaxed);
}

/// What is locked is whole also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
