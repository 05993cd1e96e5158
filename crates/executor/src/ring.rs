//! A stream of bytes in both directions through memory that two processes share.
//!
//! Of each direction one side writes and the other reads: a ring of bytes, and two counts that only grow (modulo 2³²), how many
//! bytes were written and how many were read. A count is changed by one side, after it has copied the bytes. As long as
//! both sides are at work nobody sleeps: who has nothing to do looks at the other's count for some microseconds. Then it says that it is asleep, and sleeps; who changes a count and sees that wakes it.
//!
//! # The memory
//!
//! All numbers are in bytes. Two *blocks* of 512 at 0 and 512, of the side that made the memory and of the other; from 4096 on the
//! ring that the first writes, behind it the one that the second writes, as large, a power of two. A block is what its side
//! says to the other one, in words of 32 bits:
//!
//! | at | |
//! |---|---|
//! | 0 | how many bytes it has written |
//! | 128 | how many it has read |
//! | 256 | what it is asleep for, a futex: 1 for bytes to read, 2 for room to write. The other side clears what it wakes it for |
//! | 260 | what it will not do any more: 1 for writing, 2 for reading |
//!
//! # What is not trusted
//!
//! The other side may write anything to the memory, at any time. What this side has written and read it knows by itself, and does not look it
//! up. Of the other side it takes three words: a count, which is an error when it is further than the ring is large from its own; what
//! it is asleep for, by which a wrong side is woken; and what it does not do any more, by which the stream ends. Whoever sleeps
//! gets up every now and then, so that one who is not woken does not wait for ever.

use std::fmt;
use std::hint;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::futex;

use crate::looking::Looking;
use crate::shared::{Bytes, Mapping, Words};
use crate::transport::Ready;

/// The least and the most that a ring has, in bytes.
const LEAST_SIZE: usize = 4 << 10;
const MOST_SIZE: usize = 64 << 20;

/// What comes before the rings.
const HEADER: usize = 4096;
const BLOCK: usize = 512;

// Words of a block. Those that change with each message are in pieces of cache of their own, which processors fetch in pairs.
const WRITTEN: usize = 0;
const READ: usize = 128;
const ASLEEP: usize = 256;
const GONE: usize = 260;

/// Of `ASLEEP`.
const FOR_BYTES: u32 = 1;
const FOR_ROOM: u32 = 2;

/// Of `GONE`.
const WRITER: u32 = 1;
const READER: u32 = 2;

/// How often it looks before it lets others have the processor.
const LOOKS: u32 = 4;

/// How long somebody sleeps before it asks whether the other process is there.
const SLEEP: Duration = Duration::from_millis(100);

/// One end of the two streams. Each half can be with a thread of its own.
#[derive(Debug)]
pub(crate) struct Ring {
    /// What the other end writes.
    pub(crate) reader: RingReader,
    /// What the other end reads.
    pub(crate) writer: RingWriter,
}

/// What the other end writes. Dropping it lets the other end's writing fail.
pub(crate) struct RingReader {
    end: Arc<End>,
    bytes: Bytes,
}

/// What the other end reads. Dropping it ends the stream for the other end, which reads first what was written.
pub(crate) struct RingWriter {
    end: Arc<End>,
    bytes: Bytes,
    /// At least so much room there is, in bytes: looking for more takes the other side's count from its cache.
    room: u32,
}

/// Waits for an end, beside those who read and write.
#[derive(Clone)]
pub(crate) struct RingWaiter(Arc<End>);

/// What both halves have of an end.
struct End {
    words: Words,
    /// Where the blocks are: its own and the other one's.
    own: usize,
    other: usize,
    /// Of each ring, in bytes.
    size: u32,
    /// What stands in its own block, if nobody else wrote there.
    written: AtomicU32,
    read: AtomicU32,
    /// The socket to the other process.
    peer: Arc<OwnedFd>,
    /// Whether the other process has ended.
    has_ended: AtomicBool,
    for_bytes: Looking,
    for_room: Looking,
}

impl Ring {
    /// Makes the memory of two rings of `size` bytes each, and the file that the other process is to [`Ring::open`].
    ///
    /// `peer` is a stream socket whose other end is with the other process alone: when that ends without a word, it is the
    /// socket that says so. Nothing is written to it or read from it.
    ///
    /// `size` is a power of two from 4 KiB to 64 MiB, or rounded up to one. Memory for both rings is taken now.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when a ring cannot be as large; the system's.
    pub(crate) fn create(size: usize, peer: Arc<OwnedFd>) -> io::Result<(OwnedFd, Self)> {
        let wanted = size.max(LEAST_SIZE).checked_next_power_of_two();
        let size = wanted.filter(|size| *size <= MOST_SIZE);
        let size = size.ok_or(io::ErrorKind::InvalidInput)?;
        let (file, memory) = Mapping::create(c"farcall-ring", HEADER + 2 * size)?;
        Ok((file, Self::over(memory, 0, peer)))
    }

    /// The other end of what another process has made by [`Ring::create`] and sent.
    ///
    /// Whoever that is cannot do more by what it writes to the memory than send any bytes, or end the stream. (On a system that
    /// hands out no more memory than it has, `vm.overcommit_memory` 2, it can end this process: by taking memory out of the
    /// file when none is left.) The file need not stay open.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when it is another file, or one that may get shorter; the system's.
    pub(crate) fn open(file: impl AsFd, peer: Arc<OwnedFd>) -> io::Result<Self> {
        let memory = Mapping::open(file.as_fd(), |size| ring_size(size).is_some())?;
        Ok(Self::over(memory, 1, peer))
    }

    /// `side` is 0 for who made the memory.
    fn over(memory: Mapping, side: usize, peer: Arc<OwnedFd>) -> Self {
        let (words, halves) = memory.divide(HEADER);
        let end = Arc::new(End {
            words,
            own: side * BLOCK,
            other: (1 - side) * BLOCK,
            size: count(halves[0].size()),
            written: AtomicU32::new(0),
            read: AtomicU32::new(0),
            peer,
            has_ended: AtomicBool::new(false),
            for_bytes: Looking::default(),
            for_room: Looking::default(),
        });
        let [first, second] = halves;
        let (outgoing, incoming) = if side == 0 {
            (first, second)
        } else {
            (second, first)
        };
        Self {
            reader: RingReader {
                end: Arc::clone(&end),
                bytes: incoming,
            },
            writer: RingWriter {
                end,
                bytes: outgoing,
                room: 0,
            },
        }
    }
}

/// How large each ring is in a file of `size` bytes. Counts go on where they begin again only in one that is a power of two.
fn ring_size(size: usize) -> Option<usize> {
    let rings = size.checked_sub(HEADER)?;
    let size = rings / 2;
    let is_one = rings.is_multiple_of(2)
        && size.is_power_of_two()
        && (LEAST_SIZE..=MOST_SIZE).contains(&size);
    is_one.then_some(size)
}

impl RingReader {
    /// As reading, but `None` instead of waiting.
    pub(crate) fn try_read(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        match self.end.bytes()? {
            Some(there) => Ok(Some(self.take(space, there))),
            None => Ok(None),
        }
    }

    /// As reading, but fails with `TimedOut` when there is nothing for about as long as `most`, to the tenth of a second.
    pub(crate) fn read_within(&mut self, space: &mut [u8], most: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + most;
        let there =
            (self.end).wait(FOR_BYTES, &self.end.for_bytes, |end| match end.bytes()? {
                None if Instant::now() >= deadline => Err(io::ErrorKind::TimedOut.into()),
                there => Ok(there),
            })?;
        Ok(self.take(space, there))
    }

    /// Reads some of what is there: so many bytes.
    fn take(&mut self, space: &mut [u8], there: u32) -> usize {
        let end = &*self.end;
        let n_bytes = space.len().min(there as usize);
        if n_bytes == 0 {
            return 0;
        }
        let from = end.read.load(Ordering::Relaxed);
        let at = end.place(from);
        let before_the_end = n_bytes.min(self.bytes.size() - at);
        let (first, second) = space[..n_bytes].split_at_mut(before_the_end);
        self.bytes.copy_out(at, first);
        self.bytes.copy_out(0, second);
        let read = from.wrapping_add(count(n_bytes));
        end.read.store(read, Ordering::Relaxed);
        end.publish(READ, read, FOR_ROOM);
        n_bytes
    }
}

impl Read for RingReader {
    /// Reads what is there, and waits until something is; 0 at the end, which comes also when the other process has ended.
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if space.is_empty() {
            return Ok(0);
        }
        let there = (self.end).wait(FOR_BYTES, &self.end.for_bytes, End::bytes)?;
        Ok(self.take(space, there))
    }
}

impl RingWriter {
    /// As writing, but fails with `WouldBlock` instead of waiting for room.
    ///
    /// # Errors
    ///
    /// As writing, and that.
    pub(crate) fn try_write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_when(parts, |end| {
            end.room()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
        })
    }

    /// What waits for this end while it is used.
    pub(crate) fn waiter(&self) -> RingWaiter {
        RingWaiter(Arc::clone(&self.end))
    }

    /// Writes as much as there is room for, all of it visible to the other side at once. `look` says how much room there is, at
    /// least one byte.
    fn write_when(
        &mut self,
        parts: &[IoSlice<'_>],
        look: impl FnOnce(&End) -> io::Result<u32>,
    ) -> io::Result<usize> {
        let end = &*self.end;
        // Slices can be the same memory many times.
        let sizes = parts.iter().map(|part| part.len());
        let wanted = sizes.fold(0, usize::saturating_add);
        if wanted == 0 {
            return Ok(0);
        }
        if end.is_over(READER) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if (self.room as usize) < wanted {
            self.room = look(end)?;
        }
        let from = end.written.load(Ordering::Relaxed);
        let mut rest = self.room;
        for part in parts {
            let n_bytes = part.len().min(rest as usize);
            let at = end.place(from.wrapping_add(self.room - rest));
            let before_the_end = n_bytes.min(self.bytes.size() - at);
            let (first, second) = part[..n_bytes].split_at(before_the_end);
            self.bytes.copy_in(at, first);
            self.bytes.copy_in(0, second);
            rest -= count(n_bytes);
        }
        let n_bytes = self.room - rest;
        self.room = rest;
        let written = from.wrapping_add(n_bytes);
        end.written.store(written, Ordering::Relaxed);
        end.publish(WRITTEN, written, FOR_BYTES);
        Ok(n_bytes as usize)
    }
}

impl Write for RingWriter {
    /// Writes what there is room for, and waits until there is some. Fails with `BrokenPipe` when nobody will read it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_when(parts, |end| end.wait(FOR_ROOM, &end.for_room, End::room))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl RingWaiter {
    /// Waits until there is room to write, or nobody to read it, or something to read, or the end, if that is `wanted_too`; or for about as long as
    /// `most`, to the tenth of a second.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn wait(&self, wanted_too: bool, most: Option<Duration>) -> io::Result<Ready> {
        let end = &*self.0;
        let deadline = most.and_then(|most| Instant::now().checked_add(most));
        let wanted = if wanted_too {
            FOR_ROOM | FOR_BYTES
        } else {
            FOR_ROOM
        };
        end.wait(wanted, &end.for_room, |_| {
            let ready = self.ready(wanted_too);
            let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            Ok((ready.to_read || ready.to_write || is_late()).then_some(ready))
        })
    }

    /// As waiting, but says what is so now.
    pub(crate) fn ready(&self, wanted_too: bool) -> Ready {
        Ready {
            to_read: wanted_too && !matches!(self.0.bytes(), Ok(None)),
            to_write: !matches!(self.0.room(), Ok(None)),
        }
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        self.end.leave(READER, FOR_ROOM);
    }
}

impl Drop for RingWriter {
    fn drop(&mut self) {
        self.end.leave(WRITER, FOR_BYTES);
    }
}

impl End {
    /// How much there is to read, in bytes; `None` is nothing yet, and 0 nothing any more.
    fn bytes(&self) -> io::Result<Option<u32>> {
        let there = self.unread()?;
        if there > 0 {
            return Ok(Some(there));
        }
        // What was written before the end is read before it.
        if self.is_over(WRITER) {
            return self.unread().map(Some);
        }
        Ok(None)
    }

    fn unread(&self) -> io::Result<u32> {
        let written = self.of_other(WRITTEN).load(Ordering::SeqCst);
        let there = written.wrapping_sub(self.read.load(Ordering::Relaxed));
        if there > self.size {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(there)
    }

    /// How much may be written, in bytes; `None` is nothing yet.
    fn room(&self) -> io::Result<Option<u32>> {
        if self.is_over(READER) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let read = self.of_other(READ).load(Ordering::SeqCst);
        let unread = self.written.load(Ordering::Relaxed).wrapping_sub(read);
        match self.size.checked_sub(unread) {
            None => Err(io::ErrorKind::InvalidData.into()),
            Some(room) => Ok((room > 0).then_some(room)),
        }
    }

    /// Whether the other side's half, one of `GONE`, does nothing more.
    fn is_over(&self, half: u32) -> bool {
        // Relaxed: whether the process has ended is a hint of another thread's, and what it wrote came through the kernel.
        self.of_other(GONE).load(Ordering::SeqCst) & half != 0
            || self.has_ended.load(Ordering::Relaxed)
    }

    /// Sets a count of this side's and wakes the other side if it is asleep for that.
    ///
    /// Four accesses are sequentially consistent, so that all threads see them in one order: here the count's store and the
    /// load of what the other side is asleep for, in `sleep` the store of that and the load of the count. If this load does not
    /// see that the other side is about to sleep, then that store comes after the load, and so after the count's store, and the
    /// other side's load after it sees the count. With less, each could miss what the other one has just stored.
    ///
    /// The count's store is a release as well, and its load an acquire: who sees a count sees the bytes that were copied
    /// before it, and who sees how much was read does not write there before they have been copied.
    fn publish(&self, count: usize, value: u32, wakes: u32) {
        self.words
            .at(self.own + count)
            .store(value, Ordering::SeqCst);
        self.wake(wakes);
    }

    /// Says that a half of this side, one of `GONE`, does nothing more. As `publish`.
    fn leave(&self, half: u32, wakes: u32) {
        let gone = self.words.at(self.own + GONE);
        gone.fetch_or(half, Ordering::SeqCst);
        self.wake(wakes);
    }

    fn wake(&self, wakes: u32) {
        let asleep = self.of_other(ASLEEP);
        if asleep.load(Ordering::SeqCst) & wakes != 0
            // Relaxed: who of several clears it is all that is asked.
            && asleep.fetch_and(!wakes, Ordering::Relaxed) & wakes != 0
        {
            // All that sleep there: one may wait for bytes, another for room. It fails for no word that is mapped.
            let _ = futex::wake(asleep, futex::Flags::empty(), i32::MAX.unsigned_abs());
        }
    }

    /// Waits until `ready` finds something; what for is some of `ASLEEP`.
    fn wait<T>(
        &self,
        wanted: u32,
        looking: &Looking,
        ready: impl Fn(&Self) -> io::Result<Option<T>>,
    ) -> io::Result<T> {
        let mut turn = looking.turn();
        while turn.goes_on() {
            if let Some(found) = self.look(&ready)? {
                turn.ends();
                return Ok(found);
            }
        }
        let found = self.sleep(wanted, ready)?;
        turn.ends();
        Ok(found)
    }

    /// Looks some times.
    fn look<T>(&self, ready: impl Fn(&Self) -> io::Result<Option<T>>) -> io::Result<Option<T>> {
        for _ in 0..LOOKS {
            if let Some(found) = ready(self)? {
                return Ok(Some(found));
            }
            hint::spin_loop();
        }
        Ok(None)
    }

    fn sleep<T>(
        &self,
        wanted: u32,
        ready: impl Fn(&Self) -> io::Result<Option<T>>,
    ) -> io::Result<T> {
        let asleep = self.words.at(self.own + ASLEEP);
        let timeout = Timespec::try_from(SLEEP).map_err(io::Error::other)?;
        let mut asked = Instant::now();
        loop {
            // Before it looks: see `publish`. It stays when something is found, and costs the other side a wake in vain.
            let word = asleep.fetch_or(wanted, Ordering::SeqCst) | wanted;
            if let Some(found) = ready(self)? {
                return Ok(found);
            }
            // It does not sleep when the word is another by now, that is, when the other side has changed a count and cleared it.
            match futex::wait(asleep, futex::Flags::empty(), word, Some(&timeout)) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
                Err(error) => return Err(error.into()),
            }
            // By the time and not by what the system said: the other side could wake this one all the time.
            if asked.elapsed() >= SLEEP {
                asked = Instant::now();
                if has_hung_up(&self.peer)? {
                    self.has_ended.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// A word of the other side's block.
    fn of_other(&self, word: usize) -> &AtomicU32 {
        self.words.at(self.other + word)
    }

    /// Where in a ring the byte is that comes after so many.
    const fn place(&self, n_bytes: u32) -> usize {
        (n_bytes & (self.size - 1)) as usize
    }
}

fn has_hung_up(socket: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(socket, PollFlags::RDHUP)];
    match poll(&mut fds, Some(&Timespec::default())) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    Ok(fds[0].revents().intersects(ends))
}

/// No more than a ring has.
fn count(n_bytes: usize) -> u32 {
    u32::try_from(n_bytes).expect("a ring is smaller than 4 GiB")
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End")
            .field("size", &self.size)
            .field("written", &self.written)
            .field("read", &self.read)
            .field("has_ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RingReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RingReader").field(&self.end).finish()
    }
}

impl fmt::Debug for RingWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RingWriter").field(&self.end).finish()
    }
}

impl fmt::Debug for RingWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RingWaiter").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests;
