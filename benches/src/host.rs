//! What the process offers to what it loads.

use std::ffi::CStr;

/// Opens system libraries for all that comes after, so that every contender finds the same names in the same place.
pub fn open_global(libraries: &[&CStr]) {
    for library in libraries {
        // SAFETY: the name ends in a zero byte; the system's libraries may be loaded by anyone.
        let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        assert!(!handle.is_null(), "{library:?}: not found");
    }
}
