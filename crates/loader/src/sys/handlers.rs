//! Handlers that images register, for a C library that does not know which image does.
//!
//! musl's own lists are for programs and shared objects that stay to the end: `__cxa_finalize` does nothing,
//! and nothing that was registered is ever forgotten. So images get these functions instead, with the names
//! and contracts of glibc's. The C library knows one handler of each kind, registered when an image first
//! registers one, that runs those of all images; so at exit they run as a group, in their own order.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

type Function = unsafe extern "C" fn(*mut c_void);
type ForkFunction = unsafe extern "C" fn();

/// A call to be made later.
#[derive(Debug, Clone, Copy)]
struct Call {
    function: Function,
    /// The argument, as a number so that threads may share it.
    argument: usize,
}

impl Call {
    fn new(function: Function, argument: *mut c_void) -> Self {
        let argument = argument.expose_provenance();
        Self { function, argument }
    }

    /// Makes it.
    ///
    /// # Safety
    ///
    /// The image that registered it is loaded, and this is the only time.
    unsafe fn make(self) {
        // SAFETY: the caller's contract.
        unsafe { (self.function)(ptr::with_exposed_provenance_mut(self.argument)) };
    }
}

/// What one fork calls for an image.
#[derive(Debug, Clone, Copy)]
struct ForkCalls {
    prepare: Option<ForkFunction>,
    parent: Option<ForkFunction>,
    child: Option<ForkFunction>,
}

/// Things in the order of their registration, each with the handle of its image. Finding those of an image is
/// a walk over all, as in glibc.
#[derive(Debug)]
struct Registered<T>(Vec<(usize, T)>);

impl<T> Registered<T> {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn add(&mut self, handle: usize, item: T) {
        self.0.push((handle, item));
    }

    /// Takes the last one out.
    fn pop(&mut self) -> Option<T> {
        self.0.pop().map(|(_, item)| item)
    }

    /// Takes the last one of an image out.
    fn pop_of(&mut self, handle: usize) -> Option<T> {
        let last = self.0.iter().rposition(|(own, _)| *own == handle)?;
        Some(self.0.remove(last).1)
    }

    /// Forgets those of an image.
    fn forget(&mut self, handle: usize) {
        self.0.retain(|(own, _)| *own != handle);
    }
}

#[derive(Debug)]
struct Handlers {
    exit: Registered<Call>,
    quick_exit: Registered<Call>,
    fork: Registered<ForkCalls>,
}

static HANDLERS: Mutex<Handlers> = Mutex::new(Handlers {
    exit: Registered::new(),
    quick_exit: Registered::new(),
    fork: Registered::new(),
});

/// Holds the lock of all handlers.
pub(super) fn lock() -> impl Any {
    handlers()
}

fn handlers() -> MutexGuard<'static, Handlers> {
    HANDLERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the C library was told, once: 0, or why it refused.
type Told = OnceLock<c_int>;

/// Calls `handler(argument)` at exit or when the image with this handle is finalised, the last one
/// registered first. Gives 0, or what is wrong.
///
/// # Safety
///
/// The handler may be called so, as long as the image is not finalised.
pub(crate) unsafe extern "C" fn __cxa_atexit(
    handler: Function,
    argument: *mut c_void,
    dso_handle: *mut c_void,
) -> c_int {
    let told = tell_of_exit();
    if told == 0 {
        let call = Call::new(handler, argument);
        handlers().exit.add(dso_handle.addr(), call);
    }
    told
}

/// Calls and forgets the exit handlers of the image with this handle, and forgets its others.
///
/// # Safety
///
/// The image is loaded.
pub(crate) unsafe extern "C" fn __cxa_finalize(dso_handle: *mut c_void) {
    let handle = dso_handle.addr();
    loop {
        // Not under the lock: a handler may register another.
        let next = handlers().exit.pop_of(handle);
        let Some(call) = next else { break };
        // SAFETY: the caller's contract; it was taken out.
        unsafe { call.make() };
    }
    let mut handlers = handlers();
    handlers.quick_exit.forget(handle);
    handlers.fork.forget(handle);
}

/// Calls `handler` at quick exit, the last one registered first. Gives 0, or what is wrong.
///
/// # Safety
///
/// As [`__cxa_atexit`].
pub(crate) unsafe extern "C" fn __cxa_at_quick_exit(
    handler: Function,
    dso_handle: *mut c_void,
) -> c_int {
    static TOLD: Told = OnceLock::new();
    unsafe extern "C" {
        fn at_quick_exit(handler: extern "C" fn()) -> c_int;
    }
    // SAFETY: the handler may be called at any time.
    let told = *TOLD.get_or_init(|| unsafe { at_quick_exit(run_at_quick_exit) });
    if told == 0 {
        let call = Call::new(handler, ptr::null_mut());
        handlers().quick_exit.add(dso_handle.addr(), call);
    }
    told
}

/// Calls the handlers before each fork, the last one registered first, and after it in the parent and in the
/// child, the first one first. Gives 0, or what is wrong.
///
/// # Safety
///
/// As [`__cxa_atexit`].
pub(crate) unsafe extern "C" fn __register_atfork(
    prepare: Option<ForkFunction>,
    parent: Option<ForkFunction>,
    child: Option<ForkFunction>,
    dso_handle: *mut c_void,
) -> c_int {
    static TOLD: Told = OnceLock::new();
    let told = *TOLD.get_or_init(|| {
        // SAFETY: the handlers may be called at any fork, on the thread that forks.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) }
    });
    if told == 0 {
        let calls = ForkCalls {
            prepare,
            parent,
            child,
        };
        handlers().fork.add(dso_handle.addr(), calls);
    }
    told
}

fn tell_of_exit() -> c_int {
    static TOLD: Told = OnceLock::new();
    // SAFETY: the handler may be called at any time.
    *TOLD.get_or_init(|| unsafe { libc::atexit(run_at_exit) })
}

extern "C" fn run_at_exit() {
    if let Some(key) = thread_key() {
        // SAFETY: the key exists.
        let calls = unsafe { libc::pthread_getspecific(key) };
        if !calls.is_null() {
            // SAFETY: this thread's own calls, which end here instead of at the thread's end.
            unsafe { end_thread(calls) };
        }
    }
    loop {
        let next = handlers().exit.pop();
        let Some(call) = next else { break };
        // SAFETY: a module takes its handlers out before it goes.
        unsafe { call.make() };
    }
}

extern "C" fn run_at_quick_exit() {
    loop {
        let next = handlers().quick_exit.pop();
        let Some(call) = next else { break };
        // SAFETY: as above.
        unsafe { call.make() };
    }
}

fn fork_calls() -> Vec<ForkCalls> {
    let handlers = handlers();
    handlers.fork.0.iter().map(|(_, calls)| *calls).collect()
}

fn run_all(functions: impl Iterator<Item = Option<ForkFunction>>) {
    for function in functions.flatten() {
        // SAFETY: a module takes its handlers out before it goes.
        unsafe { function() };
    }
}

unsafe extern "C" fn before_fork() {
    run_all(fork_calls().iter().rev().map(|calls| calls.prepare));
}

unsafe extern "C" fn in_parent() {
    run_all(fork_calls().iter().map(|calls| calls.parent));
}

unsafe extern "C" fn in_child() {
    run_all(fork_calls().iter().map(|calls| calls.child));
}

/// Calls `destructor(object)` when this thread ends, or at exit if this thread calls it. Gives 0, or what is
/// wrong.
///
/// # Safety
///
/// The destructor may be called so, once.
pub(crate) unsafe extern "C" fn __cxa_thread_atexit_impl(
    destructor: Function,
    object: *mut c_void,
    _dso_handle: *mut c_void,
) -> c_int {
    let Some(key) = thread_key() else {
        return libc::EAGAIN;
    };
    let told = tell_of_exit();
    if told != 0 {
        return told;
    }
    // SAFETY: the key exists.
    let mut calls = unsafe { libc::pthread_getspecific(key) }.cast::<Vec<Call>>();
    if calls.is_null() {
        calls = Box::into_raw(Box::default());
        // SAFETY: the key exists.
        let result = unsafe { libc::pthread_setspecific(key, calls.cast_const().cast()) };
        if result != 0 {
            // SAFETY: nobody else has it.
            drop(unsafe { Box::from_raw(calls) });
            return result;
        }
    }
    // SAFETY: this thread's own, of which there is no other reference.
    unsafe { (*calls).push(Call::new(destructor, object)) };
    0
}

/// The key whose destructor makes a thread's calls; `None` if the C library has no more keys.
fn thread_key() -> Option<libc::pthread_key_t> {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the destructor is given what `__cxa_thread_atexit_impl` set.
        let result = unsafe { libc::pthread_key_create(&raw mut key, Some(end_thread)) };
        (result == 0).then_some(key)
    })
}

/// Makes this thread's calls, the last one first, also those that are registered meanwhile.
unsafe extern "C" fn end_thread(calls: *mut c_void) {
    let Some(key) = thread_key() else { return };
    // SAFETY: the key exists. If there is no memory, calls that are registered meanwhile have a list of
    // their own.
    unsafe { libc::pthread_setspecific(key, calls) };
    let calls = calls.cast::<Vec<Call>>();
    // SAFETY: this thread's own, of which there is no other reference.
    while let Some(call) = unsafe { (*calls).pop() } {
        // SAFETY: it was registered for now, and is taken out.
        unsafe { call.make() };
    }
    // SAFETY: the key exists.
    unsafe { libc::pthread_setspecific(key, ptr::null()) };
    // SAFETY: `__cxa_thread_atexit_impl` made it, and the key does not hold it any more.
    drop(unsafe { Box::from_raw(calls) });
}
