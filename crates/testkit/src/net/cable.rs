//! A cable between two machines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Host, sys};
use crate::Error;

/// The longest frame of Ethernet with a payload of 1500 bytes.
const MAX_FRAME: usize = 1518;

/// The most frames that are on their way; more are lost, as they are in a switch.
const MOST_FRAMES: usize = 10_000;

/// Where network cards come from.
const DEVICE: &str = "/dev/net/tun";

/// A cable between two machines. Dropping it takes it away, and the network cards at its ends.
///
/// Both machines know each other's hardware address, so that one that is out of reach is noticed by silence alone, as it is
/// behind a router. An address of the cable's network that is neither's is one without a machine.
#[derive(Debug)]
pub struct Cable {
    /// Of this process's cables which one: it is part of the names and of the addresses.
    number: u16,
    hosts: [Host; 2],
    state: Arc<Mutex<State>>,
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// An end of a cable, in the order in which the machines were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum End {
    First,
    Second,
}

/// How a cable carries. The default is at once, all of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// How long a frame takes.
    pub delay: Duration,
    /// How many frames of a hundred are lost.
    pub loss: u8,
    /// How many frames of a hundred overtake those that were sent before them, if frames take time.
    pub overtaking: u8,
}

/// What came in at an end, whether or not it arrived at the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried {
    /// Bytes, with the heads of Ethernet, IP and TCP.
    pub bytes: u64,
    /// Frames: each is a packet of up to 1500 bytes.
    pub frames: u64,
}

#[derive(Debug, Default)]
struct State {
    quality: Quality,
    is_cut: bool,
    /// How many more bytes from an end until the cable is cut.
    cuts_after: Option<(End, u64)>,
    carried: [Carried; 2],
    random: u64,
    last_frame: u64,
    on_the_way: BinaryHeap<Reverse<Frame>>,
}

/// A frame that is on its way, ordered by when it arrives.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    due: Instant,
    number: u64,
    from: usize,
    bytes: Vec<u8>,
}

impl Cable {
    /// Joins two machines.
    ///
    /// # Errors
    ///
    /// When the system has no virtual network cards, or refuses one.
    pub fn between(first: &Host, second: &Host) -> Result<Self, Error> {
        static LAST: AtomicU16 = AtomicU16::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        Self::numbered(number, [first.clone(), second.clone()])
    }

    /// The machine at an end loses its power and starts again: another one has its address, which knows of no connection and runs nothing. The processes
    /// of the first are for the caller to end, while the cable is cut.
    ///
    /// # Errors
    ///
    /// As [`Cable::between`], and those of [`Host::new`].
    pub fn restart(self, end: End) -> Result<(Host, Self), Error> {
        let (number, mut hosts) = (self.number, self.hosts.clone());
        drop(self);
        let host = Host::new()?;
        hosts[end.index()] = host.clone();
        Ok((host, Self::numbered(number, hosts)?))
    }

    fn numbered(number: u16, hosts: [Host; 2]) -> Result<Self, Error> {
        let mut cable = Self {
            number,
            hosts,
            state: Arc::new(Mutex::new(State {
                // Any but 0: the same losses each time, as far as the frames are.
                random: 0x9e37_79b9_7f4a_7c15,
                ..State::default()
            })),
            stop: None,
            thread: None,
        };
        let cards = [cable.card(End::First)?, cable.card(End::Second)?];
        let state = Arc::clone(&cable.state);
        let start = || {
            let (stop, stopped) = UnixStream::pair()?;
            let carry = move || carry(&cards, &stopped, &state);
            let thread = thread::Builder::new().name("cable".to_owned());
            Ok((stop, thread.spawn(carry)?))
        };
        let (stop, thread) = start().map_err(Error::io(Path::new(DEVICE), "carry frames of"))?;
        cable.stop = Some(stop);
        cable.thread = Some(thread);
        Ok(cable)
    }

    /// A network card at an end, with its address.
    fn card(&self, end: End) -> Result<File, Error> {
        let host = &self.hosts[end.index()];
        let name = self.card_name();
        let path = Path::new(DEVICE);
        // A card is in the network of the thread that opens the device.
        let device = host.run(|| {
            let mut options = File::options();
            options.read(true).write(true);
            options.custom_flags(libc::O_NONBLOCK);
            let device = options.open(path).map_err(Error::io(path, "open"))?;
            sys::make_interface(&device, &name).map_err(Error::io(path, "make a card of"))?;
            Ok(device)
        })?;
        // Where there is IPv6 it would have more to say than what is tested.
        let _ = host.ip(&["link", "set", &name, "addrgenmode", "none"]);
        let [own, other] = [end, end.other()].map(|end| self.hardware_address(end));
        host.ip(&["link", "set", &name, "address", &own])?;
        let address = format!("{}/24", self.address(end));
        host.ip(&["address", "add", &address, "dev", &name])?;
        self.plug_in(end)?;
        let neighbour = self.address(end.other()).to_string();
        let words = ["neighbour", "add", &neighbour, "lladdr", &other];
        host.ip(&[&words[..], &["dev", &name]].concat())?;
        Ok(device)
    }

    /// The name of the cards at both ends, each on its machine.
    fn card_name(&self) -> String {
        format!("cable{}", self.number)
    }

    fn hardware_address(&self, end: End) -> String {
        let [high, low] = self.number.to_be_bytes();
        // 2 says that nobody but its user has given it.
        format!("02:00:00:{high:02x}:{low:02x}:{:02x}", end.index() + 1)
    }

    /// The address of the machine at an end.
    #[must_use]
    pub fn address(&self, end: End) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, high, low, if end == End::First { 1 } else { 2 })
    }

    /// An address that leads into the cable, and at which there is no machine.
    #[must_use]
    pub fn nobody(&self) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, high, low, 3)
    }

    /// From now on it carries so.
    pub fn set_quality(&self, quality: Quality) {
        self.state().quality = quality;
    }

    /// Cuts it: nothing arrives any more, not even what is on its way, and neither machine is told.
    pub fn cut(&self) {
        let mut state = self.state();
        state.is_cut = true;
        state.on_the_way.clear();
    }

    /// Has it cut when so many more bytes have come in at an end; those before them still arrive.
    pub fn cut_after(&self, end: End, n_bytes: u64) {
        self.state().cuts_after = Some((end, n_bytes));
    }

    /// Whether it is cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.state().is_cut
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        let mut state = self.state();
        state.is_cut = false;
        state.cuts_after = None;
    }

    /// Pulls it out at an end, whose machine is told so.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn pull_out(&self, end: End) -> Result<(), Error> {
        self.hosts[end.index()].ip(&["link", "set", &self.card_name(), "down"])
    }

    /// Plugs it in again, at an end.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn plug_in(&self, end: End) -> Result<(), Error> {
        self.hosts[end.index()].ip(&["link", "set", &self.card_name(), "up"])
    }

    /// What came in at an end so far.
    #[must_use]
    pub fn carried(&self, end: End) -> Carried {
        self.state().carried[end.index()]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say, not even of a panic: frames that do not arrive are what tests notice.
            let _ = thread.join();
        }
    }
}

impl End {
    /// The end that this one is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }
}

/// Takes frames from each card to the other, until the other end of `stopped` is closed.
fn carry(cards: &[File; 2], stopped: &UnixStream, state: &Mutex<State>) {
    let mut space = [0; MAX_FRAME];
    loop {
        let timeout = lock(state).deliver(cards, Instant::now());
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        let mut fds = [
            PollFd::new(&cards[0], PollFlags::IN),
            PollFd::new(&cards[1], PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        // An interruption is as good as a frame.
        let _ = poll(&mut fds, timeout.as_ref());
        let is_stopped = !fds[2].revents().is_empty();
        if is_stopped {
            return;
        }
        for (from, end) in [End::First, End::Second].into_iter().enumerate() {
            // Of each some, so that neither waits for ever.
            for _ in 0..64 {
                let Ok(n_bytes) = (&cards[from]).read(&mut space) else {
                    break;
                };
                lock(state).take(end, &space[..n_bytes], Instant::now());
            }
        }
    }
}

impl State {
    /// Takes a frame that came in.
    fn take(&mut self, from: End, bytes: &[u8], now: Instant) {
        let size = bytes.len() as u64;
        let carried = &mut self.carried[from.index()];
        carried.bytes += size;
        carried.frames += 1;
        if let Some((end, left)) = &mut self.cuts_after
            && *end == from
        {
            *left = left.saturating_sub(size);
            if *left == 0 {
                self.is_cut = true;
                self.cuts_after = None;
            }
        }
        let is_lost = self.happens(self.quality.loss) || self.on_the_way.len() >= MOST_FRAMES;
        if self.is_cut || is_lost {
            return;
        }
        let is_first = self.happens(self.quality.overtaking);
        self.last_frame += 1;
        self.on_the_way.push(Reverse(Frame {
            due: if is_first {
                now
            } else {
                now + self.quality.delay
            },
            number: self.last_frame,
            from: from.index(),
            bytes: bytes.to_vec(),
        }));
    }

    /// Hands over what has arrived, and says how long it is until the next frame does.
    fn deliver(&mut self, cards: &[File; 2], now: Instant) -> Option<Duration> {
        while let Some(Reverse(next)) = self.on_the_way.peek() {
            if next.due > now {
                return Some(next.due - now);
            }
            // A card that is switched off takes none.
            let _ = (&cards[1 - next.from]).write_all(&next.bytes);
            self.on_the_way.pop();
        }
        None
    }

    /// Whether something happens that happens so many times in a hundred.
    fn happens(&mut self, percent: u8) -> bool {
        // Marsaglia's xorshift.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < u64::from(percent)
    }
}

/// What is locked is whole also after a panic.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
