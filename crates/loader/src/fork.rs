//! What a fork means to the loader.
//!
//! A forked process has the modules of the one that it was forked off, and both go on loading. What
//! they share is the memory of windows, which is a file's. So the child never allocates in a window
//! that it inherited, and the parent does not use memory again that a module had at a fork, because
//! the child may run it still. Everything else is private to each.
//!
//! Locks are held over a fork, so that the child finds them free and what they guard whole.

use std::any::Any;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crate::sys::host;
use crate::{thread_exit, tls, window};

/// Counts the forks that this process is the child of.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// Counts all forks that this process and those before it have seen.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Held by who holds a lock of which there are many, so that at a fork none of these is held.
///
/// Nothing else is locked meanwhile, and the host's dynamic linker is not called.
static MANY: Mutex<()> = Mutex::new(());

thread_local! {
    /// The locks that are held over a fork, by the thread that forks. In one piece: what a child frees is on pages that it does not share any more.
    static HELD: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// A number that differs from that of every process that this one was forked off.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// How many forks there have been. What is older than the last one may be in use by a child.
pub(crate) fn count() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Has forks wait until the result is dropped.
pub(crate) fn hold_off() -> MutexGuard<'static, ()> {
    MANY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks what each module or loader has of its own.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> Locked<'_, T> {
    let held = hold_off();
    Locked {
        guard: mutex.lock().unwrap_or_else(PoisonError::into_inner),
        held,
    }
}

/// The contents of a mutex that is locked with forks held off. The mutex is unlocked first.
pub(crate) struct Locked<'a, T> {
    guard: MutexGuard<'a, T>,
    #[expect(dead_code, reason = "held")]
    held: MutexGuard<'static, ()>,
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Has the C library tell of forks from now on. Without memory for that they are not noticed.
pub(crate) fn watch() {
    // Which forks not.
    if cfg!(miri) {
        return;
    }
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: the handlers may be called before and after any fork, on the thread that forks.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    });
}

unsafe extern "C" fn before() {
    // In the order in which loading and unloading nest them.
    let host = host::lock();
    let thread_exit = thread_exit::lock();
    let tls = tls::lock();
    let windows = window::lock();
    let many = hold_off();
    // The last one taken goes first.
    HELD.set(Some(Box::new((many, windows, tls, thread_exit, host))));
}

unsafe extern "C" fn in_parent() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    release();
}

unsafe extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    FORKS.fetch_add(1, Ordering::Relaxed);
    release();
}

fn release() {
    drop(HELD.take());
}
