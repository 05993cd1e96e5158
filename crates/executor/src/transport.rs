//! What frames go over: a socket, which may pass files with them, or any other pair of streams.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg,
    sockopt::{self, Timeout},
};

/// How long a peer may say nothing before it has said who it is. Calls may take as long as they want.
pub(crate) const GREETING_TIME: Duration = Duration::from_secs(10);

/// How long a peer may be silent on TCP, in seconds, before it is asked whether it is there, and after that again; and how often.
const QUIET: (Duration, Duration, u32) = (Duration::from_secs(20), Duration::from_secs(5), 4);

/// A connection before anything was said on it.
pub struct Connection {
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
}

/// What is read.
pub(crate) enum Incoming {
    Socket(Socket),
    Stream(Box<dyn Read + Send>),
}

/// What is written to.
pub(crate) enum Outgoing {
    Socket(Socket),
    Stream(Box<dyn Write + Send>),
}

/// A socket, or two pipes; both directions have it.
#[derive(Clone)]
pub(crate) struct Socket {
    reads: Arc<OwnedFd>,
    writes: Arc<OwnedFd>,
    way: Way,
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

    /// Over TCP.
    ///
    /// # Errors
    ///
    /// The system's, when the socket is none of a connection.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        // A frame is written at once: waiting for more to send with it only costs time.
        stream.set_nodelay(true)?;
        let (idle, interval, count) = QUIET;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, idle)?;
        sockopt::set_tcp_keepintvl(&stream, interval)?;
        sockopt::set_tcp_keepcnt(&stream, count)?;
        // As long as all of that, for what was sent and is not confirmed, in milliseconds.
        let patience = idle + interval * count;
        let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&stream, patience)?;
        let is_near = stream.peer_addr()?.ip().is_loopback();
        let way = if is_near { Way::Near } else { Way::Far };
        Ok(Self::socket(stream.into(), way))
    }

    /// Over a pair of pipes, such as the standard output and input of a child, which is read and written as it is.
    #[must_use]
    pub fn pipes(reads: impl Into<OwnedFd>, writes: impl Into<OwnedFd>) -> Self {
        Self::of(Socket {
            reads: Arc::new(reads.into()),
            writes: Arc::new(writes.into()),
            way: Way::Pipe,
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

    fn socket(fd: OwnedFd, way: Way) -> Self {
        let fd = Arc::new(fd);
        Self::of(Socket {
            reads: Arc::clone(&fd),
            writes: fd,
            way,
        })
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
                Self::Socket(socket) => socket.read(space, files, RecvFlags::empty()),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Reads what is there, of a socket, without waiting: `None` when nothing is.
    pub(crate) fn read_now(
        &mut self,
        space: &mut [u8],
        files: &mut Vec<OwnedFd>,
    ) -> io::Result<Option<usize>> {
        let Self::Socket(socket) = self else {
            return Ok(None);
        };
        match socket.read(space, files, RecvFlags::DONTWAIT) {
            Ok(n_bytes) => Ok(Some(n_bytes)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl Socket {
    fn read(
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
                    && !self.poll(PollFlags::IN, false)?.to_read =>
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
        matches!(self, Self::Socket(socket) if socket.way == Way::Local)
    }

    /// Whether it is to another machine.
    pub(crate) fn is_far(&self) -> bool {
        matches!(self, Self::Socket(socket) if socket.way == Way::Far)
    }

    /// Writes a parcel, as far as that can be done without waiting if the stream is a socket.
    pub(crate) fn send(&mut self, parcel: &mut Parcel<'_>) -> io::Result<Sent> {
        loop {
            let (slices, count) = parcel.slices();
            let slices = &slices[..count];
            if slices.is_empty() {
                return Ok(Sent::All);
            }
            let written = match self {
                Self::Stream(writer) => writer.write_vectored(slices).and_then(|n_bytes| {
                    writer.flush()?;
                    match n_bytes {
                        0 => Err(io::ErrorKind::WriteZero.into()),
                        n_bytes => Ok(n_bytes),
                    }
                }),
                Self::Socket(socket) => socket.write(slices, parcel.file),
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

    /// The socket, to wait for.
    pub(crate) fn blocked(&self) -> Option<Socket> {
        match self {
            Self::Socket(socket) => Some(socket.clone()),
            Self::Stream(_) => None,
        }
    }
}

/// What a pipe that is ready takes without waiting, in bytes (POSIX, `write`: `PIPE_BUF`).
const PIPE_BUF: usize = 4096;

impl Socket {
    /// Writes what can be written without waiting.
    fn write(&self, slices: &[IoSlice<'_>], file: Option<BorrowedFd<'_>>) -> io::Result<usize> {
        if self.way != Way::Pipe {
            return transmit(self.writes.as_fd(), slices, file);
        }
        if !self.poll(PollFlags::OUT, false)?.to_write {
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

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) to_read: bool,
    pub(crate) to_write: bool,
}

impl Socket {
    /// Waits until it takes more bytes, or has some to read if that is wanted too.
    pub(crate) fn wait(&self, reads_too: bool) -> io::Result<Ready> {
        let reads = if reads_too {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        self.poll(reads | PollFlags::OUT, true)
    }

    fn poll(&self, wanted: PollFlags, waits: bool) -> io::Result<Ready> {
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
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let timeout = if waits { None } else { Some(&now) };
        loop {
            match poll(&mut fds[first..last], timeout) {
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

/// A limit on how long reading waits, which ends when this is dropped. Streams that are no sockets have none.
pub(crate) struct Patience(Option<Socket>);

impl Patience {
    pub(crate) fn of(connection: &Connection) -> io::Result<Self> {
        let socket = match &connection.incoming {
            Incoming::Socket(socket) => Some(socket.clone()),
            Incoming::Stream(_) => None,
        };
        let socket = socket.filter(|socket| socket.way != Way::Pipe);
        if let Some(socket) = &socket {
            sockopt::set_socket_timeout(&*socket.reads, Timeout::Recv, Some(GREETING_TIME))?;
        }
        Ok(Self(socket))
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // It fails for nothing that is a socket.
            let _ = sockopt::set_socket_timeout(&*socket.reads, Timeout::Recv, None);
        }
    }
}
