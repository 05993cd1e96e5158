//! Destructors of thread-local objects.
//!
//! An image registers them with its `__dso_handle`, or with any other address of its own, by which
//! the C library would find the shared object to keep loaded until they have run. It does not know
//! our images, so this does it: a pending destructor keeps its module.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::held::{Held, WeakHeld};
use crate::sys::runtime;

/// The segments of modules that register destructors, by where they start. They do not overlap.
static MODULES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Entry {
    start: u64,
    /// The first address after the segment.
    end: u64,
    module: WeakHeld,
}

/// The names by which images import [`thread_atexit`].
pub(crate) const NAMES: [&[u8]; 2] = [b"__cxa_thread_atexit", b"__cxa_thread_atexit_impl"];

/// A module that may register destructors, until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    segments: Vec<Range<u64>>,
}

impl Registration {
    /// Registers the module whose segments have these addresses.
    pub(crate) fn new(segments: Vec<Range<u64>>, module: &WeakHeld) -> Self {
        let mut modules = modules();
        for &Range { start, end } in segments.iter().filter(|segment| !segment.is_empty()) {
            let module = module.clone();
            let place = modules.partition_point(|entry| entry.start < start);
            modules.insert(place, Entry { start, end, module });
        }
        Self { segments }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut modules = modules();
        for segment in self.segments.iter().filter(|segment| !segment.is_empty()) {
            let place = modules.binary_search_by_key(&segment.start, |entry| entry.start);
            place.map(|place| modules.remove(place)).ok();
        }
    }
}

struct Pending {
    destructor: unsafe extern "C" fn(*mut c_void),
    object: *mut c_void,
    module: Held,
}

/// The `__cxa_thread_atexit` of images: calls `destructor(object)` when this thread ends. Gives 0,
/// or no memory.
///
/// # Safety
///
/// `dso_handle` is an address in the image that calls, or means to the C library what the caller
/// wants, and the destructor may be called with the object when this thread ends.
pub(crate) unsafe extern "C" fn thread_atexit(
    destructor: unsafe extern "C" fn(*mut c_void),
    object: *mut c_void,
    dso_handle: *mut c_void,
) -> c_int {
    let module = match find(dso_handle.addr() as u64) {
        Some(module) => module.upgrade(),
        None => {
            // SAFETY: the caller's contract. A null handle stands for the program.
            return unsafe { runtime::__cxa_thread_atexit_impl(destructor, object, dso_handle) };
        }
    };
    let Some(module) = module else {
        // The module is being unloaded and will not be there when the thread ends. An object that
        // is never destroyed is the smaller evil.
        return 0;
    };
    module.begin_thread_destructor();
    let pending = Box::into_raw(Box::new(Pending {
        destructor,
        object,
        module,
    }));
    // An address of the loader's own keeps the shared object that it is in, if it is in one.
    let own = (&raw const MODULES).cast_mut().cast();
    // SAFETY: `run` takes the pointer that is registered with it, once.
    let result = unsafe { runtime::__cxa_thread_atexit_impl(run, pending.cast(), own) };
    if result != 0 {
        // SAFETY: it was not registered, so that nobody else has the pointer.
        drop_pending(unsafe { Box::from_raw(pending) });
    }
    result
}

/// The module that has the address. Clang passes `__dso_handle`; Rust's standard library passes the
/// place of a pointer to it.
fn find(address: u64) -> Option<WeakHeld> {
    let modules = modules();
    let after = modules.partition_point(|entry| entry.start <= address);
    let entry = modules.get(after.checked_sub(1)?)?;
    (address < entry.end).then(|| entry.module.clone())
}

unsafe extern "C" fn run(pending: *mut c_void) {
    // SAFETY: `thread_atexit` made it and registered it once.
    let pending = unsafe { Box::from_raw(pending.cast::<Pending>()) };
    // SAFETY: the image asked for this call, and its module is loaded.
    unsafe { (pending.destructor)(pending.object) };
    drop_pending(pending);
}

fn drop_pending(pending: Box<Pending>) {
    pending.module.end_thread_destructor();
    // The last use of a module that was dropped unloads it here.
    drop(pending);
}

/// Holds the lock of all modules.
pub(crate) fn lock() -> impl Any {
    modules()
}

fn modules() -> MutexGuard<'static, Vec<Entry>> {
    MODULES.lock().unwrap_or_else(PoisonError::into_inner)
}
