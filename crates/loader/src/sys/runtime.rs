//! The parts of the C runtime that know about images: exit handlers, thread-local destructors. `libc`
//! the crate does not have them.
//!
//! Sources: Itanium C++ ABI, "DSO Object Destruction Runtime API"; for
//! `__cxa_thread_atexit_impl` glibc's `stdlib/cxa_thread_atexit_impl.c`.
//!
//! musl knows no images in a static program. There these functions are the loader's own, see `handlers`.

#[cfg(not(target_env = "musl"))]
use std::ffi::{c_int, c_void};

#[cfg(target_env = "musl")]
pub(crate) use super::handlers::{
    __cxa_at_quick_exit, __cxa_atexit, __cxa_finalize, __cxa_thread_atexit_impl, __register_atfork,
};

#[cfg(not(target_env = "musl"))]
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

    /// Calls `handler` at quick exit, the last one registered first.
    #[cfg(target_feature = "crt-static")]
    pub(crate) fn __cxa_at_quick_exit(
        handler: unsafe extern "C" fn(*mut c_void),
        dso_handle: *mut c_void,
    ) -> c_int;

    /// Calls the handlers before each fork, the last one registered first, and after it in the parent and
    /// in the child, the first one first.
    #[cfg(target_feature = "crt-static")]
    pub(crate) fn __register_atfork(
        prepare: Option<unsafe extern "C" fn()>,
        parent: Option<unsafe extern "C" fn()>,
        child: Option<unsafe extern "C" fn()>,
        dso_handle: *mut c_void,
    ) -> c_int;

    /// Calls `destructor(object)` when this thread ends, before the destructors of `pthread` keys.
    pub(crate) fn __cxa_thread_atexit_impl(
        destructor: unsafe extern "C" fn(*mut c_void),
        object: *mut c_void,
        dso_handle: *mut c_void,
    ) -> c_int;
}

unsafe extern "C" {
    /// The environment.
    pub(crate) static mut environ: *mut *mut std::ffi::c_char;

    /// What messages of the C library call the program (glibc, musl).
    pub(crate) static mut program_invocation_name: *mut std::ffi::c_char;

    /// The same without folders (glibc, musl).
    pub(crate) static mut program_invocation_short_name: *mut std::ffi::c_char;
}
