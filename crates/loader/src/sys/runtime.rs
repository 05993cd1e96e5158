//! The parts of the C runtime that know about images: exit handlers, unwind tables, thread-local
//! storage. `libc` the crate does not have them.
//!
//! Sources: Itanium C++ ABI, "DSO Object Destruction Runtime API"; LSB Core 5.0, "Interface
//! Definitions for libgcc_s"; for `__tls_get_addr` the psABI's "Thread-Local Storage"; for
//! `__cxa_thread_atexit_impl` glibc's `stdlib/cxa_thread_atexit_impl.c`.

use std::ffi::{c_int, c_void};

unsafe extern "C" {
    /// Calls `handler(argument)` at exit or when the image with this handle is finalised, the last
    /// one registered first. Gives 0, or no memory.
    pub(crate) fn __cxa_atexit(
        handler: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
        dso_handle: *mut c_void,
    ) -> c_int;

    /// Calls and forgets the handlers of the image with this handle: at exit, at quick exit (which
    /// are only forgotten) and at fork (only forgotten).
    pub(crate) fn __cxa_finalize(dso_handle: *mut c_void);

    /// Calls `destructor(object)` when this thread ends, before the destructors of `pthread` keys.
    pub(crate) fn __cxa_thread_atexit_impl(
        destructor: unsafe extern "C" fn(*mut c_void),
        object: *mut c_void,
        dso_handle: *mut c_void,
    ) -> c_int;

    /// Makes the `.eh_frame` records from `begin` to their zero word known to the unwinder.
    pub(crate) fn __register_frame(begin: *const c_void);

    /// Undoes `__register_frame`.
    pub(crate) fn __deregister_frame(begin: *const c_void);

    /// The address in this thread of a thread-local variable of the host's.
    pub(crate) fn __tls_get_addr(index: *const crate::tls::TlsIndex) -> *mut c_void;

    /// The environment.
    pub(crate) static mut environ: *mut *mut std::ffi::c_char;

    /// What messages of the C library call the program (glibc).
    pub(crate) static mut program_invocation_name: *mut std::ffi::c_char;

    /// The same without folders (glibc).
    pub(crate) static mut program_invocation_short_name: *mut std::ffi::c_char;
}
