//! Whether a window's code is what the loader writes.
//!
//! A processor runs what its memory holds, once it has been told of it. Emulators keep translations of
//! code, and some do not notice that its memory changes through another mapping: QEMU's for programs
//! (before version 8.1 where the code is AArch64's, in any version where it is x86-64's). There a place that is
//! used again would run what was there before. So each new window is asked.

use crate::sys::code::{self, GIVES};
use crate::sys::noexcept;

/// Whether code is what was written last.
///
/// # Safety
///
/// `written` and `executed` are mappings of the same few bytes of memory, writable and executable, that nobody
/// uses. They are zero afterwards.
pub(super) unsafe fn runs_what_is_written(written: *mut u8, executed: *const u8) -> bool {
    let given = GIVES.map(|bytes| {
        // SAFETY: the caller's contract.
        unsafe { write(written, executed, bytes) };
        // SAFETY: at the address is a function without arguments: this one, or the one before.
        unsafe { noexcept::call(executed.expose_provenance() as u64, [0; 3]) }
    });
    // SAFETY: as above.
    unsafe { write(written, executed, [0; GIVES[0].len()]) };
    given == [1, 2]
}

/// Writes code.
///
/// # Safety
///
/// As [`runs_what_is_written`].
unsafe fn write<const N: usize>(written: *mut u8, executed: *const u8, bytes: [u8; N]) {
    // SAFETY: the caller's contract.
    unsafe { written.cast::<[u8; N]>().write(bytes) };
    // SAFETY: as above.
    unsafe { code::publish(written, executed, N) };
}
