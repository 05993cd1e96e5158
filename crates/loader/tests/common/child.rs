//! Tests in processes of their own: forked, with a time limit, and a signal is a result.

use std::panic::{self, AssertUnwindSafe};

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All went well.
    Well,
    /// It failed, having said why.
    Failed,
    /// A signal ended it: `SIGALRM` when it took too long.
    Signal(i32),
}

/// Runs in a forked child that has so many seconds.
///
/// The child has this thread only, and of the others what they held.
pub(crate) fn in_child(seconds: u32, run: impl FnOnce()) -> End {
    let child = fork(seconds, run);
    wait(child)
}

/// Starts a forked child; [`wait`] for it.
pub(crate) fn fork(seconds: u32, run: impl FnOnce()) -> i32 {
    // SAFETY: the child runs what the test wants to see running in a child.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child != 0 {
        return child;
    }
    let limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: this process leaves no core file when it ends by a signal.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
    time_limit(seconds);
    panic::set_hook(Box::new(|info| say(&format!("in a child: {info}\n"))));
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    // SAFETY: ends the child with no handlers, which are the parent's.
    unsafe { libc::_exit(i32::from(result.is_err())) }
}

/// Ends this process by `SIGALRM` after so many seconds from now.
pub(crate) fn time_limit(seconds: u32) {
    // SAFETY: sets a timer.
    unsafe { libc::alarm(seconds) };
}

/// Waits for a child's end.
pub(crate) fn wait(child: i32) -> End {
    let mut status = 0;
    loop {
        // SAFETY: the child is one of ours, which nobody else waits for.
        let result = unsafe { libc::waitpid(child, &raw mut status, 0) };
        if result == child {
            break;
        }
        let error = std::io::Error::last_os_error();
        assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{error}");
    }
    if libc::WIFSIGNALED(status) {
        return End::Signal(libc::WTERMSIG(status));
    }
    match libc::WEXITSTATUS(status) {
        0 => End::Well,
        _ => End::Failed,
    }
}

/// Writes to standard error, past the test harness, which keeps what is printed in its own process.
pub(crate) fn say(text: &str) {
    // SAFETY: the bytes are the text's.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

/// Memory that children write and their parent reads: a word.
pub(crate) struct SharedWord(*mut std::sync::atomic::AtomicU64);

impl SharedWord {
    pub(crate) fn new() -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: new memory, at an address that the system chooses; it stays.
        let word = unsafe { libc::mmap(std::ptr::null_mut(), 8, protection, flags, -1, 0) };
        assert_ne!(word, libc::MAP_FAILED);
        Self(word.cast())
    }
}

impl std::ops::Deref for SharedWord {
    type Target = std::sync::atomic::AtomicU64;

    fn deref(&self) -> &Self::Target {
        // SAFETY: the memory is a zeroed word that stays.
        unsafe { &*self.0 }
    }
}

/// The number of this process's mappings.
pub(crate) fn n_mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().count()
}

/// The bytes of this process that are in memory.
pub(crate) fn resident_size() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Numbers that look random and are the same in each run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// Of a sequence that the seed decides.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % end as u64).unwrap()
    }
}
