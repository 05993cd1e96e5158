//! ORC's controller and `llvm-jitlink-executor`, as contenders of the bench of executors:
//! `farcall-bench-remote WAY EXECUTOR SUBJECT OBJECT`.

#![allow(
    unsafe_code,
    reason = "LLVM, and calling what it links elsewhere, is what is measured"
)]

use std::env;
use std::ffi::{CStr, c_char, c_int};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode};

use farcall_benches::{Remote, Subject, serve_remote};
// LLVM itself, which `peer.cpp` is linked against.
use llvm_sys as _;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [way, executor, subject, object] = words[..] else {
        eprintln!(
            "farcall-bench-remote: WAY, EXECUTOR, SUBJECT and OBJECT are wanted: `cargo xtask bench executor` starts it"
        );
        return ExitCode::FAILURE;
    };
    let started = Subject::named(subject)
        .ok_or_else(|| io::Error::other(format!("{subject}: no such subject")))
        .and_then(|subject| Ok((subject, Orc::start(way, executor, subject, object)?)));
    match started {
        Ok((subject, orc)) => {
            serve_remote(orc, subject);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

/// `peer.cpp`'s.
#[repr(C)]
struct RawOrc {
    _private: [u8; 0],
}

#[link(name = "farcall_bench_remote", kind = "static")]
#[link(name = "stdc++")]
unsafe extern "C" {
    fn bench_orc_create(socket: c_int, shares_memory: bool, has_threads: bool) -> *mut RawOrc;
    fn bench_orc_load(
        orc: *mut RawOrc,
        bytes: *const c_char,
        length: usize,
        name: *const c_char,
    ) -> u64;
    fn bench_orc_call(orc: *mut RawOrc, address: u64) -> i32;
    fn bench_orc_call_wrapper(orc: *mut RawOrc, address: u64) -> i32;
    fn bench_orc_unload(orc: *mut RawOrc);
}

struct Orc {
    orc: *mut RawOrc,
    /// It ends when the socket does, which is when this process ends.
    executor: Child,
    object: Vec<u8>,
    entry: &'static CStr,
    is_wrapper: bool,
    /// That of the entry, while the object is loaded.
    address: u64,
}

impl Orc {
    /// The ways are `shared` (memory), `copied` (memory: through the socket), `threads` (copied, and linked on threads
    /// of the session's own) and `wrapper` (shared, and the entry is a wrapper function).
    fn start(way: &str, executor: &str, subject: Subject, object: &str) -> io::Result<Self> {
        let is_wrapper = way == "wrapper";
        let (shares_memory, has_threads) = match way {
            "shared" | "wrapper" => (true, false),
            "copied" => (false, false),
            "threads" => (false, true),
            _ => return Err(io::Error::other(format!("{way}: no such way"))),
        };
        let object = fs::read(object)?;
        let (controller, theirs) = UnixStream::pair()?;
        let theirs_fd = theirs.as_raw_fd();
        // SAFETY: the socket is open, and its being inherited is what is wanted of it.
        let inherited = unsafe { libc::fcntl(theirs_fd, libc::F_SETFD, 0) };
        assert_eq!(inherited, 0);
        let executor = Command::new(executor)
            .arg(format!("filedescs={theirs_fd},{theirs_fd}"))
            .spawn()?;
        drop(theirs);
        // SAFETY: the session takes the socket.
        let orc = unsafe { bench_orc_create(controller.into_raw_fd(), shares_memory, has_threads) };
        Ok(Self {
            orc,
            executor,
            object,
            entry: if is_wrapper {
                c"wrapped"
            } else {
                subject.entry()
            },
            is_wrapper,
            address: 0,
        })
    }
}

impl Remote for Orc {
    fn load_and_call(&mut self) -> i32 {
        let bytes = self.object.as_ptr().cast();
        // SAFETY: the session is live, the name ends in a zero byte, and the bytes live as long as this does.
        self.address =
            unsafe { bench_orc_load(self.orc, bytes, self.object.len(), self.entry.as_ptr()) };
        self.call()
    }

    fn call(&mut self) -> i32 {
        if self.is_wrapper {
            // SAFETY: the object is loaded, and its entry is of this kind.
            unsafe { bench_orc_call_wrapper(self.orc, self.address) }
        } else {
            // SAFETY: as above.
            unsafe { bench_orc_call(self.orc, self.address) }
        }
    }

    fn unload(&mut self) {
        // SAFETY: the object is loaded, and nobody calls it.
        unsafe { bench_orc_unload(self.orc) };
    }

    fn executor(&self) -> u32 {
        self.executor.id()
    }
}
