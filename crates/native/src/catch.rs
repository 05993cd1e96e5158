//! A frame that stops exceptions of other languages.
//!
//! Rust cannot catch an exception that it has not thrown: it aborts. So what must not unwind further
//! is called from a frame of our own, which each machine's folder has, with a personality that stops
//! everything but Rust's panics and the forced unwinding of a thread that ends. Source: Itanium C++ ABI,
//! "Exception Handling", Level I.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

use crate::machine::calls::EXCEPTION_REGISTER;

unsafe extern "C-unwind" {
    fn farcall_call_catching(
        function: extern "C-unwind" fn(*mut c_void),
        argument: *mut c_void,
    ) -> *mut UnwindException;
}

unsafe extern "C" {
    static farcall_call_caught: u8;
    fn _Unwind_SetGR(context: *mut c_void, index: c_int, value: usize);
    fn _Unwind_SetIP(context: *mut c_void, address: usize);
    fn _Unwind_DeleteException(exception: *mut UnwindException);
}

/// The header of an exception, of which the class says whose it is.
#[repr(C)]
pub(crate) struct UnwindException {
    class: u64,
    rest: [usize; 3],
}

/// An exception that was stopped. Dropping it destroys it.
#[derive(Debug)]
pub struct Exception(NonNull<UnwindException>);

/// The panics of Rust, whose standard library writes the bytes in this order, unlike C++.
const RUST: u64 = u64::from_le_bytes(*b"MOZ\0RUST");
/// `GNUCC++\0`: the exceptions of libstdc++, and the C++ ABI's layout of them.
const CXX: u64 = 0x474e_5543_432b_2b00;

/// Calls `function` with `argument`; gives the exception that left it, if one did.
///
/// `function` must have nothing to clean up where an exception passes.
pub(crate) fn call(
    function: extern "C-unwind" fn(*mut c_void),
    argument: *mut c_void,
) -> Option<Exception> {
    // SAFETY: the code above calls `function`, which takes any pointer, and gives null or the
    // exception that its personality stopped.
    let exception = unsafe { farcall_call_catching(function, argument) };
    NonNull::new(exception).map(Exception)
}

impl Exception {
    /// The mangled name of the type that C++ code threw; `None` for other exceptions.
    #[must_use]
    pub fn type_name(&self) -> Option<String> {
        /// Where `exceptionType` is before the header in `__cxa_exception`: Itanium C++ ABI, "C++
        /// Exception Objects", with libstdc++'s handler fields.
        const TYPE: usize = 80;
        // SAFETY: the header of a live exception, which this owns.
        if unsafe { (*self.0.as_ptr()).class } != CXX {
            return None;
        }
        // SAFETY: the header of a C++ exception ends its `__cxa_exception`.
        let field = unsafe { self.0.as_ptr().cast::<u8>().sub(TYPE) };
        // SAFETY: it holds the address of the type's `std::type_info`.
        let type_info = unsafe { field.cast::<*const *const c_char>().read() };
        // SAFETY: whose second word, after the one for virtual functions, is the name.
        let field = unsafe { type_info.add(1) };
        // SAFETY: as above.
        let name = unsafe { field.read() };
        // SAFETY: a C string that lives as long as the code that threw.
        let name = unsafe { CStr::from_ptr(name) };
        Some(name.to_string_lossy().into_owned())
    }
}

impl Drop for Exception {
    fn drop(&mut self) {
        // SAFETY: this owns the exception, which nobody handles.
        unsafe { _Unwind_DeleteException(self.0.as_ptr()) };
    }
}

/// Decides for the frame above what becomes of an exception that reaches it.
pub(crate) extern "C" fn personality(
    version: c_int,
    actions: c_int,
    class: u64,
    exception: *mut UnwindException,
    context: *mut c_void,
) -> c_int {
    const SEARCH_PHASE: c_int = 1;
    const HANDLER_FRAME: c_int = 4;
    const FORCED: c_int = 8;
    const FATAL_ERROR: c_int = 3;
    const HANDLER_FOUND: c_int = 6;
    const INSTALL_CONTEXT: c_int = 7;
    const CONTINUE: c_int = 8;
    if version != 1 {
        return FATAL_ERROR;
    }
    if class == RUST || actions & FORCED != 0 {
        return CONTINUE;
    }
    if actions & SEARCH_PHASE != 0 {
        return HANDLER_FOUND;
    }
    if actions & HANDLER_FRAME == 0 {
        return CONTINUE;
    }
    let landing_pad = ptr::addr_of!(farcall_call_caught).addr();
    // SAFETY: the context is the one that the unwinder passed; the landing pad expects the exception
    // in this register.
    unsafe { _Unwind_SetGR(context, EXCEPTION_REGISTER, exception.addr()) };
    // SAFETY: as above; the landing pad is in the frame that this personality is for.
    unsafe { _Unwind_SetIP(context, landing_pad) };
    INSTALL_CONTEXT
}
