//! What frames go over: a socket, which may pass files with them, memory that is shared beside one, TLS on one, or any other pair of streams.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, recv, recvmsg, sendmsg, sockopt,
};

use crate::identity::Origin;
use crate::looking::Looking;
use crate::ring::{RingReader, RingWaiter, RingWriter};
use crate::timeouts::Timeouts;
use crate::tls::Session;

/// A connection before anything was said on it.
pub struct Connection {
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
}

/// What is read.
pub(crate) enum Incoming {
    Socket(Socket),
    Ring(RingReader),
    Tls(Arc<Session>),
    Stream(Box<dyn Read + Send>),
}

/// What is written to.
pub(crate) enum Outgoing {
    Socket(Socket),
    /// Files still go over the socket.
    Ring(RingWriter, Socket),
    Tls(Arc<Session>),
    Stream(Box<dyn Write + Send>),
}

/// A socket, or two pipes; both directions have it.
#[derive(Clone)]
pub(crate) struct Socket {
    reads: Arc<OwnedFd>,
    writes: Arc<OwnedFd>,
    way: Way,
    /// For who reads, where the other side may answer within microseconds.
    looking: Option<Arc<Looking>>,
}

/// What a socket's way is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Within the system: files can be passed.
    Local,
    /// Within the machine.
    Near,
    /// Through pipes, or what else is read and written as they are.
    Pipe,
    /// To another machine: sending takes longer than compressing.
    Far,
}

impl Connection {
    /// Over a Unix socket, which passes files in memory.
    #[must_use]
    pub fn unix(stream: UnixStream) -> Self {
        Self::socket(stream.into(), Way::Local)
    }

    /// Over a Unix socket at whose other end a tunnel to another machine begins.
    #[must_use]
    pub fn tunnel(stream: UnixStream) -> Self {
        Self::socket(stream.into(), Way::Far)
    }

    /// Over TCP, to a machine that may be silent for 40 seconds.
    ///
    /// # Errors
    ///
    /// As [`Connection::tcp_with`].
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        Self::tcp_with(stream, Timeouts::default())
    }

    /// Over TCP, to a machine that may be silent for as long as [`Timeouts::silence`].
    ///
    /// # Errors
    ///
    /// The system's, when the socket is none of a connection.
    pub fn tcp_with(stream: TcpStream, timeouts: Timeouts) -> io::Result<Self> {
        Ok(Self::of(Socket::tcp(stream, timeouts)?))
    }

    /// Over TLS.
    pub(crate) fn tls(session: Session) -> Self {
        let session = Arc::new(session);
        Self {
            incoming: Incoming::Tls(Arc::clone(&session)),
            outgoing: Outgoing::Tls(session),
        }
    }

    /// Over a pair of pipes, such as the standard output and input of a child, which is read and written as it is.
    #[must_use]
    pub fn pipes(reads: impl Into<OwnedFd>, writes: impl Into<OwnedFd>) -> Self {
        Self::of(Socket {
            reads: Arc::new(reads.into()),
            writes: Arc::new(writes.into()),
            way: Way::Pipe,
            looking: None,
        })
    }

    /// Over any pair of streams. Nobody can wait for both, so that on these a request is sent when all before it are answered.
    #[must_use]
    pub fn streams(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> Self {
        Self {
            incoming: Incoming::Stream(Box::new(reader)),
            outgoing: Outgoing::Stream(Box::new(writer)),
        }
    }

    /// Where it comes from, for logs.
    pub(crate) fn origin(&self) -> Origin {
        match &self.incoming {
            Incoming::Socket(socket) => Origin::Socket(socket.clone()),
            Incoming::Tls(session) => Origin::Tls(Arc::clone(session)),
            Incoming::Ring(_) | Incoming::Stream(_) => Origin::Stream,
        }
    }

    fn socket(fd: OwnedFd, way: Way) -> Self {
        Self::of(Socket::new(fd, way))
    }

    fn of(socket: Socket) -> Self {
        Self {
            incoming: Incoming::Socket(socket.clone()),
            outgoing: Outgoing::Socket(socket),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.incoming {
            Incoming::Socket(socket) if socket.way == Way::Local => "a Unix socket",
            Incoming::Socket(_) => "a socket",
            Incoming::Ring(_) => "shared memory",
            Incoming::Tls(_) => "TLS",
            Incoming::Stream(_) => "a pair of streams",
        };
        f.debug_tuple("Connection").field(&kind).finish()
    }
}

impl Incoming {
    /// Reads what is there, and waits until something is; 0 at the end. Files that come with it are put at the end of `files`.
    pub(crate) fn read(&mut self, space: &mut [u8], files: &mut Vec<OwnedFd>) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Stream(reader) => reader.read(space),
                Self::Ring(ring) => ring.read(space),
                Self::Tls(session) => session.read(space, RecvFlags::empty()),
                Self::Socket(socket) => socket.read_when_there(space, files),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Reads what is there without waiting: `None` when nothing is, or when nobody can tell.
    pub(crate) fn read_now(
        &mut self,
        space: &mut [u8],
        files: &mut Vec<OwnedFd>,
    ) -> io::Result<Option<usize>> {
        let read = match self {
            Self::Socket(socket) => socket.read(space, files, RecvFlags::DONTWAIT),
            Self::Ring(ring) => return ring.try_read(space),
            Self::Tls(session) => session.read(space, RecvFlags::DONTWAIT),
            Self::Stream(_) => return Ok(None),
        };
        match read {
            Ok(n_bytes) => Ok(Some(n_bytes)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// What the system knows of the other end of a socket.
#[derive(Debug, Clone, Default)]
pub(crate) enum Endpoint {
    #[default]
    Unknown,
    Process {
        pid: u32,
        uid: u32,
    },
    Address(SocketAddr),
}

impl Socket {
    /// Who is at the other end.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let process = || {
            let process = sockopt::socket_peercred(&self.reads).ok()?;
            let pid = process.pid.as_raw_nonzero().get().unsigned_abs();
            let uid = process.uid.as_raw();
            Some(Endpoint::Process { pid, uid })
        };
        let address = || {
            let address = rustix::net::getpeername(&self.reads).ok().flatten()?;
            Some(Endpoint::Address(SocketAddr::try_from(address).ok()?))
        };
        let known = match self.way {
            Way::Pipe => None,
            Way::Local => process(),
            Way::Near | Way::Far => address().or_else(process),
        };
        known.unwrap_or_default()
    }

    fn new(fd: OwnedFd, way: Way) -> Self {
        let fd = Arc::new(fd);
        let is_within_the_machine = matches!(way, Way::Local | Way::Near);
        Self {
            reads: Arc::clone(&fd),
            writes: fd,
            way,
            looking: is_within_the_machine.then(Arc::default),
        }
    }

    /// A TCP socket that sends at once, and fails when the peer or the way to it is gone.
    pub(crate) fn tcp(stream: TcpStream, timeouts: Timeouts) -> io::Result<Self> {
        // A frame is written at once: waiting for more to send with it only costs time.
        stream.set_nodelay(true)?;
        let keep_alive = timeouts.keep_alive();
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, keep_alive.idle)?;
        sockopt::set_tcp_keepintvl(&stream, keep_alive.interval)?;
        sockopt::set_tcp_keepcnt(&stream, keep_alive.n_probes)?;
        sockopt::set_tcp_user_timeout(&stream, keep_alive.limit)?;
        let is_near = stream.peer_addr()?.ip().is_loopback();
        let way = if is_near { Way::Near } else { Way::Far };
        Ok(Self::new(stream.into(), way))
    }

    /// Takes what is there of the files that came without a frame, as beside shared memory: one, with the byte that it came with.
    pub(crate) fn file(&self) -> io::Result<Option<OwnedFd>> {
        let mut files = Vec::new();
        match receive(
            self.reads.as_fd(),
            &mut [0],
            &mut files,
            RecvFlags::DONTWAIT,
        ) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(files.into_iter().next()),
        }
    }

    /// What is shared with whoever must know that the other side has gone.
    pub(crate) fn peer(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.reads)
    }

    /// Reads what is there, and waits until something is.
    fn read_when_there(&self, space: &mut [u8], files: &mut Vec<OwnedFd>) -> io::Result<usize> {
        let Some(looking) = &self.looking else {
            return self.read(space, files, RecvFlags::empty());
        };
        let mut turn = looking.turn();
        while turn.goes_on() {
            match self.read(space, files, RecvFlags::DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    turn.ends();
                    return read;
                }
            }
        }
        let read = self.read(space, files, RecvFlags::empty());
        turn.ends();
        read
    }

    pub(crate) fn read(
        &self,
        space: &mut [u8],
        files: &mut Vec<OwnedFd>,
        flags: RecvFlags,
    ) -> io::Result<usize> {
        match self.way {
            Way::Local => receive(self.reads.as_fd(), space, files, flags),
            Way::Near | Way::Far => Ok(recv(&*self.reads, &mut *space, flags)?.0),
            Way::Pipe
                if flags.contains(RecvFlags::DONTWAIT)
                    && !self.poll(PollFlags::IN, Some(Duration::ZERO))?.to_read =>
            {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Way::Pipe => Ok(rustix::io::read(&*self.reads, &mut *space)?),
        }
    }
}

fn receive(
    socket: BorrowedFd<'_>,
    space: &mut [u8],
    files: &mut Vec<OwnedFd>,
    flags: RecvFlags,
) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut space = [io::IoSliceMut::new(space)];
    let received = recvmsg(
        socket,
        &mut space,
        &mut control,
        flags | RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            files.extend(fds);
        }
    }
    Ok(received.bytes)
}

/// Whether all was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    /// The other side does not read at present.
    Blocked,
}

/// Bytes that are to be written, and a file that goes with the first of them.
pub(crate) struct Parcel<'a> {
    parts: [&'a [u8]; 3],
    more: &'a [&'a [u8]],
    file: Option<BorrowedFd<'a>>,
}

impl<'a> Parcel<'a> {
    pub(crate) fn new(
        before: &'a [u8],
        head: &'a [u8],
        body: &'a [&'a [u8]],
        file: Option<BorrowedFd<'a>>,
    ) -> Self {
        Self {
            parts: [before, head, &[]],
            more: body,
            file,
        }
    }

    /// How much is left, in bytes.
    pub(crate) fn size(&self) -> usize {
        let parts = self.parts.iter().chain(self.more);
        parts.map(|part| part.len()).sum()
    }

    /// What is left.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let parts = self.parts.iter().chain(self.more);
        let parts: Vec<&[u8]> = parts.copied().collect();
        parts.concat()
    }

    /// The file, unless it went.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'a>> {
        self.file
    }

    /// The first of what is left, and how many they are: few, so that a call takes no memory for them.
    fn slices(&self) -> ([IoSlice<'a>; 8], usize) {
        let mut slices = [IoSlice::new(&[]); 8];
        let parts = self.parts.iter().chain(self.more);
        let parts = parts.filter(|part| !part.is_empty());
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        (slices, count)
    }

    /// Takes away what was written.
    fn advance(&mut self, mut n_bytes: usize) {
        self.file = None;
        for part in &mut self.parts {
            let n_here = part.len().min(n_bytes);
            *part = &part[n_here..];
            n_bytes -= n_here;
        }
        while n_bytes > 0
            && let Some((first, rest)) = self.more.split_first()
        {
            if n_bytes < first.len() {
                // Nothing of the first three is left.
                self.parts[2] = &first[n_bytes..];
                n_bytes = 0;
            } else {
                n_bytes -= first.len();
            }
            self.more = rest;
        }
    }
}

impl Outgoing {
    pub(crate) fn passes_files(&self) -> bool {
        self.local().is_some()
    }

    /// The socket that passes files.
    pub(crate) fn local(&self) -> Option<&Socket> {
        match self {
            Self::Socket(socket) | Self::Ring(_, socket) => {
                Some(socket).filter(|socket| socket.way == Way::Local)
            }
            Self::Tls(_) | Self::Stream(_) => None,
        }
    }

    /// Whether it is to another machine.
    pub(crate) fn is_far(&self) -> bool {
        (self.socket()).is_some_and(|socket| socket.way == Way::Far)
    }

    /// Writes a parcel, as far as that can be done without waiting if the stream is a socket.
    pub(crate) fn send(&mut self, parcel: &mut Parcel<'_>) -> io::Result<Sent> {
        loop {
            let (slices, count) = parcel.slices();
            let slices = &slices[..count];
            if slices.is_empty() {
                let Self::Tls(session) = self else {
                    return Ok(Sent::All);
                };
                // What was taken last may not all be sent yet.
                return match session.flush() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Sent::Blocked),
                    flushed => flushed.map(|()| Sent::All),
                };
            }
            let written = match self {
                Self::Tls(session) => session.write(slices),
                Self::Stream(writer) => writer.write_vectored(slices).and_then(|n_bytes| {
                    writer.flush()?;
                    match n_bytes {
                        0 => Err(io::ErrorKind::WriteZero.into()),
                        n_bytes => Ok(n_bytes),
                    }
                }),
                Self::Socket(socket) => socket.write(slices, parcel.file),
                Self::Ring(ring, socket) => {
                    // Before the frame, so that it is there when the frame is read.
                    let passed = match parcel.file {
                        Some(file) => socket.write(&[IoSlice::new(&[0])], Some(file)),
                        None => Ok(0),
                    };
                    passed.and_then(|_| {
                        parcel.file = None;
                        ring.try_write_vectored(slices)
                    })
                }
            };
            match written {
                Ok(n_bytes) => parcel.advance(n_bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Sent::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The socket, or the two pipes, that it writes to.
    pub(crate) fn socket(&self) -> Option<Socket> {
        match self {
            Self::Socket(socket) | Self::Ring(_, socket) => Some(socket.clone()),
            Self::Tls(session) => Some(session.socket().clone()),
            Self::Stream(_) => None,
        }
    }

    /// Whether the other side can be given up. What serves the other end of pipes ends with them.
    pub(crate) fn can_be_cut(&self) -> bool {
        !matches!(self, Self::Socket(socket) if socket.way == Way::Pipe)
    }

    /// Whether it says that it takes no more at present, instead of waiting.
    pub(crate) fn can_be_blocked(&self) -> bool {
        !matches!(self, Self::Stream(_))
    }

    /// What to wait for until more of a parcel can be written.
    pub(crate) fn blocked(&self, parcel: &Parcel<'_>) -> Option<Blocked> {
        match self {
            Self::Socket(socket) => Some(Blocked::Socket(socket.clone())),
            Self::Ring(ring, socket) => Some(match parcel.file {
                Some(_) => Blocked::File(ring.waiter(), socket.clone()),
                None => Blocked::Ring(ring.waiter()),
            }),
            Self::Tls(session) => Some(Blocked::Tls(Arc::clone(session))),
            Self::Stream(_) => None,
        }
    }
}

/// What takes no more at present.
pub(crate) enum Blocked {
    Socket(Socket),
    Ring(RingWaiter),
    /// The socket beside a ring.
    File(RingWaiter, Socket),
    Tls(Arc<Session>),
}

/// How long somebody waits for one of two things before it looks at the other.
const TURN: Duration = Duration::from_millis(1);

impl Blocked {
    /// Waits until it takes more, or something is to be read if that is wanted too.
    ///
    /// It waits no longer than `most`.
    pub(crate) fn wait(&self, reads_too: bool, most: Option<Duration>) -> io::Result<Ready> {
        match self {
            Self::Socket(socket) => socket.wait(reads_too, most),
            Self::Ring(ring) => ring.wait(reads_too, most),
            Self::Tls(session) => session.wait(reads_too, most),
            Self::File(ring, socket) => loop {
                let ready = socket.poll(PollFlags::OUT, Some(TURN))?;
                let to_read = reads_too && ring.ready(true).to_read;
                if ready.to_write || to_read {
                    return Ok(Ready { to_read, ..ready });
                }
            },
        }
    }
}

/// What a pipe that is ready takes without waiting, in bytes (POSIX, `write`: `PIPE_BUF`).
const PIPE_BUF: usize = 4096;

impl Socket {
    /// Ends the connection for both sides, and for threads that read or wait. Pipes have no such thing.
    pub(crate) fn shut_down(&self) {
        if self.way != Way::Pipe {
            // One that has ended need not be.
            let _ = rustix::net::shutdown(&*self.writes, Shutdown::Both);
        }
    }

    /// Ends the connection for the other side, and within the system for threads that read. Over TCP the other side is yet to be read to its end.
    pub(crate) fn end(&self) {
        match self.way {
            Way::Pipe => {}
            Way::Local => self.shut_down(),
            Way::Near | Way::Far => {
                let _ = rustix::net::shutdown(&*self.writes, Shutdown::Write);
            }
        }
    }

    /// Whether the other side of a connection over TCP sends nothing more.
    pub(crate) fn has_hung_up(&self) -> bool {
        matches!(self.way, Way::Near | Way::Far) && self.is_gone()
    }

    /// Whether nobody reads any more what is written here. Over TCP one who has said that nothing more will be sent is taken to have gone, because the system does not tell the two apart.
    pub(crate) fn is_gone(&self) -> bool {
        let asked = match self.way {
            Way::Pipe | Way::Local => PollFlags::empty(),
            Way::Near | Way::Far => PollFlags::RDHUP,
        };
        let mut fds = [PollFd::new(&*self.writes, asked)];
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut fds, Some(&now)), Ok(1))
    }

    /// Writes what can be written without waiting.
    pub(crate) fn write(
        &self,
        slices: &[IoSlice<'_>],
        file: Option<BorrowedFd<'_>>,
    ) -> io::Result<usize> {
        if self.way != Way::Pipe {
            return transmit(self.writes.as_fd(), slices, file);
        }
        if !self.poll(PollFlags::OUT, Some(Duration::ZERO))?.to_write {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let first = slices.first().map_or(&[][..], |slice| slice);
        let some = &first[..first.len().min(PIPE_BUF)];
        Ok(rustix::io::write(&*self.writes, some)?)
    }
}

fn transmit(
    socket: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    file: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let file = file.as_slice();
    if !file.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(file));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(sendmsg(socket, slices, &mut control, flags)?)
}

/// What can be done without waiting; failing is among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) to_read: bool,
    pub(crate) to_write: bool,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reads.as_fd()
    }
}

impl Socket {
    /// Waits until it takes more bytes, or has some to read if that is wanted too, or until it has been neither for so long.
    pub(crate) fn wait(&self, reads_too: bool, most: Option<Duration>) -> io::Result<Ready> {
        let reads = if reads_too {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        self.poll(reads | PollFlags::OUT, most)
    }

    /// Waits until there is something to read, or until there has been nothing for so long.
    pub(crate) fn wait_to_read(&self, most: Duration) -> io::Result<Ready> {
        self.poll(PollFlags::IN, Some(most))
    }

    /// What to set options of, unless it is two pipes.
    pub(crate) fn options(&self) -> Option<BorrowedFd<'_>> {
        (self.way != Way::Pipe).then(|| self.reads.as_fd())
    }

    fn poll(&self, wanted: PollFlags, most: Option<Duration>) -> io::Result<Ready> {
        let mut fds = [
            PollFd::new(&*self.reads, wanted & PollFlags::IN),
            PollFd::new(&*self.writes, wanted & PollFlags::OUT),
        ];
        // An end is reported whether it is asked for or not.
        let first = if wanted.contains(PollFlags::IN) { 0 } else { 1 };
        let last = if wanted.contains(PollFlags::OUT) {
            2
        } else {
            1
        };
        // A time that is no number of the system's is as good as none.
        let most = most.and_then(|most| Timespec::try_from(most).ok());
        loop {
            match poll(&mut fds[first..last], most.as_ref()) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Ready {
            to_read: !fds[0].revents().is_empty(),
            to_write: !fds[1].revents().is_empty(),
        })
    }
}
