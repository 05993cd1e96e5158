//! What an executor counts, for programs that watch it: OpenMetrics text over HTTP (`docs/metrics.md`).
//!
//! One thread serves all who ask. It waits for none of them, has few at a time, and gives none much time, so that they cost the calls nothing but what
//! it takes to write the text.

mod http;
mod text;

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::listener::Listener;
use crate::signals::SHORTAGE;
use crate::{Address, Error, Result, Service};

/// The most that are served at a time. Others wait until the system accepts them.
const MOST_VISITORS: usize = 16;

/// How long one may take, from when it is accepted until it has read its answer and gone.
const VISIT: Duration = Duration::from_secs(5);

/// The longest request, in bytes: what scrapers send takes a few hundred.
const MOST_ASKED: usize = 8 << 10;

/// What the thread needs for its stack, in bytes.
const STACK_SIZE: usize = 256 << 10;

/// Answers whoever asks for metrics, until it is dropped.
#[derive(Debug)]
pub(crate) struct Exposition {
    stop: UnixStream,
    thread: Option<JoinHandle<()>>,
    address: Address,
    is_open: bool,
}

impl Exposition {
    /// Listens at `address`, a Unix socket or a TCP port, for what `service` counts.
    pub(crate) fn start(address: &Address, service: &Service) -> Result<Self> {
        let listener = Listener::bind(address, None)?;
        let (stop, stopped) = UnixStream::pair().map_err(Error::system("start a thread"))?;
        let (address, is_open) = (listener.address().clone(), listener.is_open());
        let service = service.clone();
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || serve(&listener, &stopped, &service))
            .map_err(Error::system("start a thread"))?;
        Ok(Self {
            stop,
            thread: Some(thread),
            address,
            is_open,
        })
    }

    /// The address, with the actual port.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether anyone can ask who reaches this machine.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }
}

impl Drop for Exposition {
    fn drop(&mut self) {
        // A byte for the thread; one that has ended needs none.
        let _ = self.stop.write_all(&[0]);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One who asks.
struct Visitor {
    socket: OwnedFd,
    /// When its time is over.
    end: Instant,
    state: State,
}

enum State {
    Asking(Vec<u8>),
    /// And how much of the answer is sent.
    Reading(Vec<u8>, usize),
    /// It has been told everything. What it still sends is thrown away: closing a socket that has unread bytes takes back what was sent.
    Leaving,
}

fn serve(listener: &Listener, stopped: &UnixStream, service: &Service) {
    let mut visitors: Vec<Visitor> = Vec::new();
    loop {
        let has_room = visitors.len() < MOST_VISITORS;
        let mut fds = vec![
            PollFd::new(stopped, PollFlags::IN),
            PollFd::new(listener, PollFlags::IN),
        ];
        if !has_room {
            fds.truncate(1);
        }
        let n_own = fds.len();
        fds.extend(visitors.iter().map(|visitor| {
            let wanted = match visitor.state {
                State::Reading(..) => PollFlags::OUT,
                State::Asking(_) | State::Leaving => PollFlags::IN,
            };
            PollFd::from_borrowed_fd(visitor.socket.as_fd(), wanted)
        }));
        let next = visitors.iter().map(|visitor| visitor.end).min();
        let left = next.map(|next| next.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            // For want of memory, which passes.
            Err(_) => thread::sleep(SHORTAGE),
        }
        let is_ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if is_ready[0] {
            return;
        }
        let mut are_ready = is_ready[n_own..].iter();
        visitors.retain_mut(|visitor| {
            let is_ready = are_ready.next() == Some(&true);
            let stays = !is_ready || visitor.go_on(service).unwrap_or(false);
            stays && visitor.end > Instant::now()
        });
        if has_room && is_ready[1] {
            match listener.accept_stream() {
                Ok(socket) => visitors.push(Visitor {
                    socket,
                    end: Instant::now() + VISIT,
                    state: State::Asking(Vec::new()),
                }),
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                    thread::sleep(SHORTAGE);
                }
                // Who was there has gone.
                Err(_) => {}
            }
        }
    }
}

impl Visitor {
    /// Does what can be done without waiting. Gives whether there is more to do.
    fn go_on(&mut self, service: &Service) -> io::Result<bool> {
        let mut space = [0; 2048];
        match &mut self.state {
            State::Asking(asked) => {
                let n_bytes = recv(&self.socket, &mut space, RecvFlags::DONTWAIT);
                let n_bytes = match n_bytes.map(|(n_bytes, _)| n_bytes) {
                    Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
                    n_bytes => n_bytes?,
                };
                asked.extend_from_slice(&space[..n_bytes]);
                let request = http::read(asked, MOST_ASKED);
                let Some(request) = request else {
                    // At the end there is nobody to answer.
                    return Ok(n_bytes > 0);
                };
                let answer = http::answer(request, || text::write(service));
                self.state = State::Reading(answer, 0);
                self.go_on(service)
            }
            State::Reading(answer, n_sent) => {
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                match send(&self.socket, &answer[*n_sent..], flags) {
                    Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
                    n_bytes => *n_sent += n_bytes?,
                }
                if *n_sent == answer.len() {
                    shutdown(&self.socket, Shutdown::Write)?;
                    self.state = State::Leaving;
                }
                Ok(true)
            }
            State::Leaving => match recv(&self.socket, &mut space, RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN | Errno::INTR) => Ok(true),
                n_bytes => Ok(n_bytes?.0 > 0),
            },
        }
    }
}
