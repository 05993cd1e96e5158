//! A connection in use: requests and answers in both directions, for many threads at once, without a thread of its own.
//!
//! Of the threads that wait for something, one reads, and gives the others what is theirs; when it has its own, the next one
//! reads. So that where one thread asks, as is usual, it reads its own answer, and nobody is woken for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use farcall_protocol::{
    Deframer, FIRST_CALLBACK, Failure, Frame, HELLO_LIMIT, LENGTH_SIZE, NO_REQUEST, decode_cancel,
    decode_id,
};

use crate::transport::{Connection, Incoming, Outgoing, Parcel, Sent};
use crate::{Error, Result};

/// The most requests that wait for their turn, and their bytes beyond one frame: they wait in memory only while a call waits for an
/// answer of the controller's.
const MOST_QUEUED: usize = 1024;

/// The most files that wait for the requests which they belong to.
const MOST_FILES: usize = 64;

/// Answers that are written together take no more than this, in bytes.
const MOST_GATHERED: usize = 16 << 10;

/// Which end it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    /// That which asks, and reads the other's last word, an answer to no request, so.
    Controller(fn(&[u8]) -> farcall_protocol::Result<Option<Failure>>),
    Executor,
}

impl Side {
    fn asks(self) -> bool {
        matches!(self, Self::Controller(_))
    }
}

/// One end of a connection.
pub(crate) struct Channel {
    side: Side,
    incoming: Mutex<Receiver>,
    outgoing: Mutex<Sender>,
    inbox: Mutex<Inbox>,
    /// Files that came, in the order of the requests which they belong to.
    files: Mutex<VecDeque<OwnedFd>>,
    /// Notified when the inbox has something, or the one that read stops.
    changed: Condvar,
    /// The longest payload that the other side takes, in bytes.
    peer_limit: AtomicU32,
    /// Whether the next frame is there already.
    has_more: AtomicBool,
    /// Whether answers have been gathered that are not written.
    has_gathered: AtomicBool,
    n_sent: AtomicU64,
    n_received: AtomicU64,
}

struct Receiver {
    stream: Incoming,
    deframer: Deframer,
}

struct Sender {
    stream: Outgoing,
    /// Answers to be written with the next.
    gathered: Vec<u8>,
}

#[derive(Default)]
struct Inbox {
    /// Ids of requests whose answers are waited for.
    expected: HashSet<u64>,
    /// Of those, whose answers nobody wants any more.
    abandoned: HashSet<u64>,
    answers: HashMap<u64, Frame>,
    requests: VecDeque<Frame>,
    /// Requests that are not to be begun, as those say that wait with them.
    cancelled: HashSet<u64>,
    /// Whether a thread reads.
    reading: bool,
    n_waiting: usize,
    end: Option<End>,
}

/// Why nothing more comes.
#[derive(Debug, Clone)]
enum End {
    Closed {
        in_frame: bool,
    },
    System(io::ErrorKind, String),
    Protocol(farcall_protocol::Error),
    OutOfPlace(&'static str),
    /// The executor's last word.
    Failed(Failure),
}

/// What a thread gets that waits.
#[derive(Debug)]
pub(crate) enum Event {
    Answer(Frame),
    Request(Frame),
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
        Self {
            side,
            incoming: Mutex::new(Receiver {
                stream: connection.incoming,
                deframer: Deframer::new(HELLO_LIMIT),
            }),
            outgoing: Mutex::new(Sender {
                stream: connection.outgoing,
                gathered: Vec::new(),
            }),
            inbox: Mutex::default(),
            files: Mutex::default(),
            changed: Condvar::new(),
            peer_limit: AtomicU32::new(HELLO_LIMIT),
            has_more: AtomicBool::new(false),
            has_gathered: AtomicBool::new(false),
            n_sent: AtomicU64::new(0),
            n_received: AtomicU64::new(0),
        }
    }

    /// Reads the first frame, `None` at the end; from then on frames may have a payload of this many bytes.
    pub(crate) fn greet<T>(
        &self,
        limit: u32,
        read: impl FnOnce(&[u8]) -> farcall_protocol::Result<(T, u32)>,
    ) -> Result<Option<T>> {
        let Some(frame) = self.receive().map_err(End::error)? else {
            return Ok(None);
        };
        let (hello, peer_limit) = read(&frame)?;
        self.peer_limit.store(peer_limit, Ordering::Relaxed);
        lock(&self.incoming).deframer.set_limit(limit);
        Ok(Some(hello))
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
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.n_sent), of(&self.n_received))
    }

    /// The file that came first, of those that nobody has taken.
    pub(crate) fn take_file(&self) -> Option<OwnedFd> {
        lock(&self.files).pop_front()
    }

    /// Says that nobody waits for the answer to a request any more.
    pub(crate) fn abandon(&self, id: u64) {
        let mut inbox = self.inbox();
        if inbox.answers.remove(&id).is_none() && inbox.expected.contains(&id) {
            inbox.abandoned.insert(id);
        }
    }

    /// Sends a request: a frame that `head` starts and `body` ends, and a file with it.
    pub(crate) fn request(
        &self,
        id: u64,
        head: &[u8],
        body: &[&[u8]],
        file: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let mut sender = lock(&self.outgoing);
        if sender.stream.blocked().is_none() {
            // Of these nobody can tell whether they take more, while the other side waits until its answers are read.
            self.wait_for(|inbox| inbox.expected.is_empty().then_some(()))
                .map_err(End::error)?;
        }
        self.inbox().expected.insert(id);
        let size = head.len() + body.iter().map(|part| part.len()).sum::<usize>();
        self.n_sent.fetch_add(size as u64, Ordering::Relaxed);
        self.send_all(&mut sender, Parcel::new(&[], head, body, file))
    }

    /// Writes a frame that `head` starts and `body` ends.
    pub(crate) fn send(&self, head: &[u8], body: &[&[u8]], haste: Haste) -> Result<()> {
        let size = head.len() + body.iter().map(|part| part.len()).sum::<usize>();
        let mut sender = lock(&self.outgoing);
        self.n_sent.fetch_add(size as u64, Ordering::Relaxed);
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

    fn send_all(&self, sender: &mut Sender, mut parcel: Parcel<'_>) -> Result<()> {
        while sender.stream.send(&mut parcel)? == Sent::Blocked {
            let Some(socket) = sender.stream.blocked() else {
                return Err(io::Error::from(io::ErrorKind::WouldBlock).into());
            };
            // An executor that waits until its answers are read does not read, so that a controller has to read while it
            // waits until its requests are.
            let reads = self.side.asks() && self.start_reading();
            let ready = socket.wait(reads);
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
            ready?;
        }
        Ok(())
    }

    /// Waits for the answer to a request, or for a request if those are wanted; `None` at the end of the stream.
    pub(crate) fn wait(&self, answer: Option<u64>, requests: bool) -> Result<Option<Event>> {
        let event = self.wait_for(|inbox| {
            if let Some(frame) = answer.and_then(|id| inbox.answers.remove(&id)) {
                return Some(Event::Answer(frame));
            }
            let request = if requests {
                inbox.requests.pop_front()
            } else {
                None
            };
            request.map(Event::Request)
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
        self.inbox().cancelled.remove(&id)
    }

    /// Forgets a request that was to be cancelled, because it was begun before.
    pub(crate) fn too_late(&self, id: u64) {
        self.inbox().cancelled.remove(&id);
    }

    /// Reads requests that are there, so that it is known which of them are cancelled.
    pub(crate) fn look_ahead(&self) {
        if !self.start_reading() {
            return;
        }
        loop {
            let frame = self.receive_now();
            let mut inbox = self.inbox();
            let is_full = inbox.requests.len() >= MOST_QUEUED / 2;
            let Some(frame) = frame else {
                return self.stop_reading(&mut inbox);
            };
            self.deliver(&mut inbox, frame);
            if inbox.end.is_some() || is_full {
                return self.stop_reading(&mut inbox);
            }
        }
    }

    /// The next frame if it is there.
    fn receive_now(&self) -> Option<Result<Option<Frame>, End>> {
        let mut receiver = lock(&self.incoming);
        let Receiver { stream, deframer } = &mut *receiver;
        while !deframer.has_frame().unwrap_or(true) {
            let mut files = Vec::new();
            let read = stream.read_now(deframer.space(), &mut files);
            self.keep(files).ok()?;
            // An end or an error comes again when it is waited for.
            match read {
                Ok(Some(n_bytes)) if n_bytes > 0 => deframer.filled(n_bytes),
                _ => return None,
            }
        }
        drop(receiver);
        Some(self.receive())
    }

    /// Keeps files for the requests which they belong to.
    fn keep(&self, files: Vec<OwnedFd>) -> Result<(), End> {
        if !files.is_empty() {
            let mut waiting = lock(&self.files);
            waiting.extend(files);
            if waiting.len() > MOST_FILES {
                return Err(End::OutOfPlace("more files than requests"));
            }
        }
        Ok(())
    }

    /// Makes this thread the one that reads, if none is.
    fn start_reading(&self) -> bool {
        !std::mem::replace(&mut self.inbox().reading, true)
    }

    fn stop_reading(&self, inbox: &mut Inbox) {
        inbox.reading = false;
        if inbox.n_waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Puts a frame where it is waited for.
    fn deliver(&self, inbox: &mut Inbox, frame: Result<Option<Frame>, End>) {
        let end = match frame {
            Ok(Some(frame)) => self.sort(inbox, frame).err(),
            Ok(None) => Some(End::Closed { in_frame: false }),
            Err(end) => Some(end),
        };
        if end.is_some() {
            inbox.end = end;
        }
    }

    fn sort(&self, inbox: &mut Inbox, frame: Frame) -> Result<(), End> {
        let id = decode_id(&frame).map_err(End::Protocol)?;
        let is_answer = (id < FIRST_CALLBACK) == self.side.asks();
        if !is_answer {
            if inbox.requests.len() >= MOST_QUEUED {
                return Err(End::OutOfPlace("too many requests in the middle of a call"));
            }
            inbox.cancelled.extend(decode_cancel(&frame));
            inbox.requests.push_back(frame);
        } else if let (NO_REQUEST, Side::Controller(read)) = (id, self.side) {
            let last_word = read(&frame).map_err(End::Protocol)?;
            return Err(last_word.map_or(End::OutOfPlace("an answer to no request"), End::Failed));
        } else if !inbox.expected.remove(&id) {
            return Err(End::OutOfPlace("an answer to another request"));
        } else if !inbox.abandoned.remove(&id) {
            inbox.answers.insert(id, frame);
        }
        Ok(())
    }

    /// The next frame; `None` at the end. One thread at a time calls it.
    fn receive(&self) -> Result<Option<Frame>, End> {
        let mut receiver = lock(&self.incoming);
        let Receiver { stream, deframer } = &mut *receiver;
        while !deframer.has_frame().map_err(End::Protocol)? {
            // Nobody is to wait for what waits here.
            self.flush().map_err(End::of)?;
            let mut files = Vec::new();
            let read = stream.read(deframer.space(), &mut files);
            self.keep(files)?;
            match read {
                Ok(0) if deframer.is_in_frame() => return Err(End::Closed { in_frame: true }),
                Ok(0) => return Ok(None),
                Ok(n_bytes) => deframer.filled(n_bytes),
                Err(error) => return Err(End::System(error.kind(), error.to_string())),
            }
        }
        let frame = deframer.take_frame().map_err(End::Protocol)?;
        // What is wrong with the next is said when it is read.
        let has_more = deframer.has_frame().unwrap_or(false);
        self.has_more.store(has_more, Ordering::Relaxed);
        let size = frame.as_ref().map_or(0, |frame| frame.len() + LENGTH_SIZE);
        self.n_received.fetch_add(size as u64, Ordering::Relaxed);
        Ok(frame)
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }
}

impl End {
    fn of(error: Error) -> Self {
        match error {
            Error::Connection(error) => Self::System(error.kind(), error.to_string()),
            Error::Protocol(error) => Self::Protocol(error),
            other => Self::System(io::ErrorKind::Other, other.to_string()),
        }
    }

    fn error(self) -> Error {
        match self {
            Self::Closed { in_frame } => Error::Closed { in_frame },
            Self::System(kind, message) => Error::Connection(io::Error::new(kind, message)),
            Self::Protocol(error) => Error::Protocol(error),
            Self::OutOfPlace(what) => Error::OutOfPlace { what },
            Self::Failed(failure) => Error::Failed(failure),
        }
    }
}

/// What is locked is whole also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
