//! Streams through shared memory, in one process and between two. This file's program is its own children: see [`child`].

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::env;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use farcall_testkit::tools;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Ring, RingReader, RingWriter};

const SIZE: usize = 64 << 10;
const STREAM: usize = 100 << 20;

/// Where the header has its words; the rings come after it.
const HEADER: u64 = 4096;

/// Both ends in this process, and the file.
fn pair(size: usize) -> (OwnedFd, Ring, Ring) {
    let (one, other) = UnixStream::pair().unwrap();
    let (file, first) = Ring::create(size, Arc::new(one.into())).unwrap();
    let second = Ring::open(&file, Arc::new(other.into())).unwrap();
    (file, first, second)
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

/// What a stream has at `from` and after it.
fn stream(from: usize, bytes: &mut [u8]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        let at = from + index;
        *byte = (at ^ (at >> 8) ^ (at >> 16)).to_le_bytes()[0];
    }
}

/// Writes a stream in pieces of random sizes, some of them of several parts.
fn write_stream(writer: &mut RingWriter, n_bytes: usize) {
    let mut random = Random(0x1234_5678);
    let mut piece = vec![0; 3 * SIZE];
    let mut at = 0;
    while at < n_bytes {
        let size = (1 + random.below(3 * SIZE)).min(n_bytes - at);
        // Half of them are small.
        let size = if random.below(2) == 0 {
            size
        } else {
            1 + size % 100
        };
        let size = size.min(n_bytes - at);
        let piece = &mut piece[..size];
        stream(at, piece);
        let (head, body) = piece.split_at(random.below(size));
        let mut parts = [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(body)];
        let mut parts = &mut parts[..];
        let mut n_written = 0;
        while n_written < size {
            let n_now = writer.write_vectored(parts).unwrap();
            assert!(n_now > 0);
            IoSlice::advance_slices(&mut parts, n_now);
            n_written += n_now;
        }
        at += size;
    }
}

/// Reads a stream in pieces of random sizes, and compares.
fn read_stream(reader: &mut RingReader, n_bytes: usize) {
    let mut random = Random(0x8765_4321);
    let (mut piece, mut expected) = (vec![0; 2 * SIZE], vec![0; 2 * SIZE]);
    let mut at = 0;
    while at < n_bytes {
        let size = 1 + random.below(2 * SIZE);
        let n_read = reader.read(&mut piece[..size]).unwrap();
        assert!(n_read > 0, "it ends at {at}");
        stream(at, &mut expected[..n_read]);
        assert!(piece[..n_read] == expected[..n_read], "other bytes at {at}");
        at += n_read;
    }
    assert_eq!(at, n_bytes);
}

fn answer(mut reader: impl Read, mut writer: impl Write) {
    let mut message = [0; 32];
    while reader.read_exact(&mut message).is_ok() {
        writer.write_all(&message).unwrap();
    }
}

fn ask(mut reader: impl Read, mut writer: impl Write, n_times: u64) {
    for number in 0..n_times {
        let mut message = [0; 32];
        message[..8].copy_from_slice(&number.to_le_bytes());
        message[24..].copy_from_slice(&(!number).to_le_bytes());
        writer.write_all(&message).unwrap();
        let mut answer = [0; 32];
        reader.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message);
    }
}

// One process.

#[test]
fn what_is_written_is_read_in_both_directions() {
    let (_file, mut first, mut second) = pair(SIZE);
    let parts = [b"head ".as_slice(), b"", b"body"].map(IoSlice::new);
    assert_eq!(first.writer.write_vectored(&parts).unwrap(), 9);
    second.writer.write_all(b"other").unwrap();
    let mut space = [0; 100];
    assert_eq!(second.reader.read(&mut space).unwrap(), 9);
    assert_eq!(&space[..9], b"head body");
    assert_eq!(first.reader.read(&mut space[..2]).unwrap(), 2);
    assert_eq!(first.reader.read(&mut space[2..]).unwrap(), 3);
    assert_eq!(&space[..5], b"other");
    assert_eq!(first.reader.read(&mut []).unwrap(), 0, "does not wait");
    assert_eq!(first.writer.write(&[]).unwrap(), 0, "does not wait");
}

#[test]
fn sizes_are_rounded_up_and_have_limits() {
    for (asked, given) in [(0, 4096), (4096, 4096), (4097, 8192), (100_000, 131_072)] {
        let (_file, mut first, _second) = pair(asked);
        let written = first.writer.write(&vec![1; 1 << 20]).unwrap();
        assert_eq!(written, given);
        let more = first.writer.try_write_vectored(&[IoSlice::new(b"x")]);
        assert_eq!(more.unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    for size in [(64 << 20) + 1, usize::MAX] {
        let (one, _other) = UnixStream::pair().unwrap();
        let refused = Ring::create(size, Arc::new(one.into())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_stream_goes_through_two_threads_and_both_ways_at_once() {
    let (_file, mut first, mut second) = pair(SIZE);
    let n_bytes = STREAM / 10;
    thread::scope(|scope| {
        scope.spawn(|| write_stream(&mut first.writer, n_bytes));
        scope.spawn(|| write_stream(&mut second.writer, n_bytes));
        scope.spawn(|| read_stream(&mut first.reader, n_bytes));
        read_stream(&mut second.reader, n_bytes);
    });
}

#[test]
fn two_threads_that_sleep_at_one_end_are_both_woken() {
    let (_file, mut first, mut second) = pair(4096);
    for _ in 0..20 {
        thread::scope(|scope| {
            // One waits for room behind the first 4096 bytes, the other for bytes.
            let writer = &mut first.writer;
            scope.spawn(move || writer.write_all(&[7; 4097]).unwrap());
            let reader = &mut first.reader;
            scope.spawn(move || reader.read_exact(&mut [0; 1]).unwrap());
            thread::sleep(Duration::from_millis(5));
            second.writer.write_all(b"x").unwrap();
            let mut all = [0; 4097];
            second.reader.read_exact(&mut all).unwrap();
            assert!(all == [7; 4097]);
        });
    }
}

#[test]
fn an_end_that_is_dropped_is_the_end_after_what_it_wrote() {
    let (_file, first, mut second) = pair(SIZE);
    let Ring { reader, mut writer } = first;
    let mut rest = Vec::new();
    thread::scope(|scope| {
        let read = scope.spawn(|| second.reader.read_to_end(&mut rest));
        thread::sleep(Duration::from_millis(20));
        writer.write_all(b"the last").unwrap();
        drop(writer);
        assert_eq!(read.join().unwrap().unwrap(), 8);
    });
    assert_eq!(rest, b"the last");
    assert_eq!(second.reader.read(&mut [0; 1]).unwrap(), 0, "again");

    // The other direction goes on.
    second.writer.write_all(&[1; SIZE]).unwrap();
    thread::scope(|scope| {
        let write = scope.spawn(|| second.writer.write(b"x"));
        thread::sleep(Duration::from_millis(20));
        drop(reader);
        let error = write.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
    assert!(second.writer.write(b"x").is_err(), "again");
}

#[test]
fn a_waiter_tells_what_an_end_can_do() {
    let (_file, mut first, mut second) = pair(4096);
    let waiter = first.writer.waiter();
    let ready = waiter.wait(true, None).unwrap();
    assert!(ready.to_write && !ready.to_read);
    first.writer.write_all(&[1; 4096]).unwrap();
    second.writer.write_all(b"x").unwrap();
    let ready = waiter.wait(true, None).unwrap();
    assert!(ready.to_read && !ready.to_write);

    first.reader.read_exact(&mut [0; 1]).unwrap();
    for _ in 0..10 {
        // Woken by bytes, and by room.
        let both = thread::scope(|scope| {
            let waiting = [true, false].map(|wanted| {
                let waiter = waiter.clone();
                let waiting = scope.spawn(move || waiter.wait(wanted, None).unwrap());
                thread::sleep(Duration::from_millis(2));
                waiting
            });
            let [for_either, for_room] = waiting;
            second.writer.write_all(b"y").unwrap();
            let either = for_either.join().unwrap();
            second.reader.read_exact(&mut [0; 4096]).unwrap();
            [either, for_room.join().unwrap()]
        });
        assert!(both[0].to_read && !both[0].to_write);
        assert!(both[1].to_write && !both[1].to_read);
        first.reader.read_exact(&mut [0; 1]).unwrap();
        first.writer.write_all(&[1; 4096]).unwrap();
    }
    drop(second);
    let ready = waiter.wait(true, None).unwrap();
    assert!(ready.to_read && ready.to_write, "both fail");
}

// What a peer may send.

fn refusal(file: impl AsFd) -> String {
    let (one, _other) = UnixStream::pair().unwrap();
    Ring::open(file, Arc::new(one.into()))
        .unwrap_err()
        .to_string()
}

fn memory(flags: MemfdFlags, size: u64, seals: SealFlags) -> OwnedFd {
    let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | flags).unwrap();
    rustix::fs::ftruncate(&file, size).unwrap();
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file
}

#[test]
fn files_that_are_no_rings_are_refused() {
    let plain = MemfdFlags::ALLOW_SEALING;
    let fixed = SealFlags::SHRINK | SealFlags::GROW;
    let good = HEADER + (2 << 12);
    let (one, _other) = UnixStream::pair().unwrap();
    Ring::open(memory(plain, good, fixed), Arc::new(one.into())).unwrap();

    for seals in [SealFlags::empty(), SealFlags::SHRINK, SealFlags::GROW] {
        let refused = refusal(memory(plain, good, seals));
        assert!(refused.contains("its size may change"), "{refused}");
    }
    for size in [0, HEADER, good - 1, good + 1, good + 4096, 1 << 31, 1 << 40] {
        refusal(memory(plain, size, fixed));
    }
    refusal(memory(plain, good, fixed | SealFlags::WRITE));
    refusal(memory(plain, good, fixed | SealFlags::FUTURE_WRITE));

    let (file, _first, _second) = pair(4096);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    refusal(File::open(path).unwrap());
    refusal(tempfile::tempfile().unwrap());
    refusal(io::pipe().unwrap().0);
    refusal(File::open("/dev/zero").unwrap());

    // A system without huge pages may give the file; using it would end this process.
    let huge = rustix::fs::memfd_create("test", plain | MemfdFlags::HUGETLB);
    if let Ok(huge) = huge {
        rustix::fs::fcntl_add_seals(&huge, fixed).unwrap();
        let refused = refusal(huge);
        assert!(refused.contains("not of ordinary pages"), "{refused}");
    }
}

#[test]
fn the_file_is_sealed() {
    let (file, _first, _second) = pair(4096);
    assert!(rustix::fs::ftruncate(&file, 0).is_err());
    assert!(rustix::fs::ftruncate(&file, 1 << 20).is_err());
    assert!(rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE).is_err());
}

#[test]
fn impossible_counts_are_errors() {
    for side in [0, 512] {
        // More written than a ring has, and more read than was written.
        for (written, read) in [(4097, 1), (1 << 31, 1 << 31), (u32::MAX, 4097)] {
            let (file, first, second) = pair(4096);
            let mut victim = if side == 0 { second } else { first };
            let file = File::from(file);
            file.write_all_at(&u32::to_le_bytes(written), side).unwrap();
            let result = victim.reader.read(&mut [0; 8]);
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidData);
            let at = side + 128;
            file.write_all_at(&u32::to_le_bytes(read), at).unwrap();
            let result = victim.writer.write(&[0; 8]);
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }
}

/// Random words all over the header, and bytes in the rings, while both sides read and write.
#[test]
fn whatever_is_written_to_the_memory_nobody_panics_or_waits_for_ever() {
    for seed in 1..=60 {
        let (file, first, second) = pair(4096);
        let file = File::from(file);
        let end = Instant::now() + Duration::from_millis(50);
        thread::scope(|scope| {
            for (index, ring) in [first, second].into_iter().enumerate() {
                let Ring { reader, writer } = ring;
                scope.spawn(move || use_reader(reader, end));
                scope.spawn(move || use_writer(writer, index, end));
            }
            let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ seed);
            while Instant::now() < end {
                let block = 512 * (random.next() % 2);
                let word = [0, 128, 256, 260][random.below(4)];
                // Near zero or anything.
                let value = random.next() >> [32, 32, 52, 60][random.below(4)];
                let value = u32::try_from(value & 0xFFFF_FFFF).unwrap();
                // In some rounds the ends are not told that the other one is over, in some not what it is asleep for.
                if !(seed % 2 == 0 && word == 260 || seed % 3 == 0 && word == 256) {
                    let at = block + word;
                    file.write_all_at(&u32::to_le_bytes(value), at).unwrap();
                }
                file.write_all_at(&random.next().to_le_bytes(), HEADER + random.next() % 8000)
                    .unwrap();
                if random.below(10) == 0 {
                    thread::sleep(Duration::from_micros(50));
                }
            }
            // Whoever still waits is told that it is over, and does not have to be woken.
            for at in [260, 512 + 260] {
                file.write_all_at(&3_u32.to_le_bytes(), at).unwrap();
            }
        });
    }
}

fn use_reader(mut reader: RingReader, end: Instant) {
    let mut space = [0; 5000];
    let mut size = 1;
    while Instant::now() < end {
        size = size * 7 % 4999 + 1;
        match reader.read(&mut space[..size]) {
            Ok(n_bytes) => assert!(n_bytes <= size),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidData),
        }
    }
}

fn use_writer(mut writer: RingWriter, mut size: usize, end: Instant) {
    let bytes = [1; 5000];
    while Instant::now() < end {
        size = size * 11 % 4999 + 1;
        match writer.write(&bytes[..size]) {
            Ok(n_bytes) => assert!(n_bytes <= size),
            Err(error) => {
                let expected = [ErrorKind::InvalidData, ErrorKind::BrokenPipe];
                assert!(expected.contains(&error.kind()), "{error:?}");
            }
        }
    }
}

#[test]
fn who_is_not_woken_gets_up_by_itself() {
    let (file, mut first, second) = pair(4096);
    let file = File::from(file);
    let (_reader, mut writer) = (second.reader, second.writer);
    thread::scope(|scope| {
        let read = scope.spawn(|| first.reader.read(&mut [0; 8]).unwrap());
        thread::sleep(Duration::from_millis(50));
        // As if it had not said that it sleeps.
        file.write_all_at(&[0; 4], 256).unwrap();
        writer.write_all(b"x").unwrap();
        assert_eq!(read.join().unwrap(), 1);
    });
}

// Two processes.

/// A child of this program with an end of a ring; killed at the end.
struct Other {
    child: Child,
    ring: Ring,
}

impl Other {
    fn start(what: &str, size: usize) -> Self {
        let (one, other) = UnixStream::pair().unwrap();
        let (file, ring) = Ring::create(size, Arc::new(one.try_clone().unwrap().into())).unwrap();
        let child = command(what).stdin(OwnedFd::from(other)).spawn().unwrap();
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        let files = [file.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&files));
        let bytes = [IoSlice::new(b"x")];
        rustix::net::sendmsg(&one, &bytes, &mut control, SendFlags::empty()).unwrap();
        Self { child, ring }
    }

    fn ask(&mut self, n_times: u64) {
        ask(&mut self.ring.reader, &mut self.ring.writer, n_times);
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits until it has done what it should.
    fn ended(mut self) {
        ended(&mut self.child);
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(what: &str) -> Command {
    let mut command = tools::start(env::current_exe().unwrap());
    command.args(["--exact", "ring::tests::child", "--ignored", "--nocapture"]);
    command.env("CHILD_DOES", what).stdout(Stdio::null());
    command
}

/// Waits until it has ended well. A child that goes on is killed.
fn ended(child: &mut Child) {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return;
        }
        if start.elapsed() > Duration::from_secs(100) {
            child.kill().unwrap();
            panic!("it goes on");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Not a test: what the children of the others run.
#[test]
#[ignore = "it is what the processes that the other tests start do"]
fn child() {
    let Ok(what) = env::var("CHILD_DOES") else {
        return;
    };
    match what.as_str() {
        "answer" => {
            let ring = received();
            answer(ring.reader, ring.writer);
        }
        "write" => write_stream(&mut received().writer, STREAM),
        "read" => read_stream(&mut received().reader, STREAM),
        "wait" => wait(received()),
        "one processor" => one_processor(),
        "many" => many(),
        other => panic!("{other}"),
    }
}

/// The ring whose file comes over the standard input, a socket.
fn received() -> Ring {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(&socket, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let file = files.next().unwrap().next().unwrap();
    Ring::open(file, Arc::new(socket.into())).unwrap()
}

/// Says something and does nothing more.
fn wait(mut ring: Ring) {
    ring.writer.write_all(b"here").unwrap();
    thread::sleep(Duration::from_secs(100));
}

#[test]
fn a_stream_goes_from_process_to_process() {
    let mut other = Other::start("write", SIZE);
    read_stream(&mut other.ring.reader, STREAM);
    assert_eq!(other.ring.reader.read(&mut [0; 1]).unwrap(), 0, "the end");
    other.ended();

    let mut other = Other::start("read", SIZE);
    write_stream(&mut other.ring.writer, STREAM);
    other.ended();
}

#[test]
fn processes_answer_each_other() {
    let mut other = Other::start("answer", SIZE);
    other.ask(100_000);
    // Nobody is awake now.
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(2));
        other.ask(1);
    }
}

#[test]
fn who_waits_for_bytes_or_room_is_told_that_the_other_process_was_killed() {
    // After what it wrote.
    let mut other = Other::start("wait", SIZE);
    while !other.ring.writer.waiter().ready(true).to_read {
        thread::yield_now();
    }
    other.kill();
    let mut rest = Vec::new();
    other.ring.reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"here");
    assert!(other.ring.writer.write(b"x").is_err(), "it is known");

    // In the middle of waiting.
    for for_room in [false, true] {
        let mut other = Other::start("wait", SIZE);
        other.ring.reader.read_exact(&mut [0; 4]).unwrap();
        let Other { child, ring } = &mut other;
        thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                if for_room {
                    let written = ring.writer.write_all(&[1; 2 * SIZE]);
                    assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
                } else {
                    assert_eq!(ring.reader.read(&mut [0; 1]).unwrap(), 0);
                }
            });
            thread::sleep(Duration::from_millis(150));
            assert!(!waiting.is_finished());
            child.kill().unwrap();
            waiting.join().unwrap();
        });
    }
}

/// If somebody was only ever woken by its own clock, this would take the better part of an hour.
#[test]
fn one_processor_is_enough() {
    let mut child = command("one processor")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    ended(&mut child);
}

fn one_processor() {
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();

    let mut other = Other::start("answer", SIZE);
    other.ask(20_000);
    drop(other);

    let (_file, mut first, mut second) = pair(4096);
    thread::scope(|scope| {
        scope.spawn(|| write_stream(&mut first.writer, STREAM / 10));
        read_stream(&mut second.reader, STREAM / 10);
    });
}

#[test]
fn an_end_leaves_nothing_behind() {
    ended(&mut command("many").stdin(Stdio::null()).spawn().unwrap());
}

fn many() {
    let count = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let n_mappings = maps.lines().filter(|line| line.contains("memfd")).count();
        (n_mappings, fs::read_dir("/proc/self/fd").unwrap().count())
    };
    let before = count();
    for round in 0..100 {
        let (file, mut first, mut second) = pair(SIZE);
        first.writer.write_all(b"x").unwrap();
        second.reader.read_exact(&mut [0; 1]).unwrap();
        drop(file);
        let while_used = count();
        assert_eq!(while_used, (before.0 + 2, before.1 + 2));
        // What is left of an end keeps it, and no more than that.
        let waiter = first.writer.waiter();
        drop(first);
        if round % 2 == 0 {
            drop(second);
            assert_eq!(count(), (before.0 + 1, before.1 + 1));
        }
        drop(waiter);
    }
    assert_eq!(count(), before);
}
