//! Address space and its protection.

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

/// What may be done with pages. There is no writable and executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    Read,
    ReadWrite,
    ReadExecute,
}

/// The size of a page in bytes: a power of two.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// Takes `length` bytes of address space that nothing may be done with and that cost no memory.
///
/// The system counts pages against its limits when they become writable. `MAP_NORESERVE` would
/// make it promise what it may not have, and end the process instead of giving an error.
pub(crate) fn reserve(length: usize) -> io::Result<NonNull<u8>> {
    let (protection, flags) = (ProtFlags::empty(), MapFlags::PRIVATE);
    // SAFETY: a new mapping, at an address that the system chooses.
    let address = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), length, protection, flags) };
    let address = address.map_err(io::Error::from)?;
    Ok(NonNull::new(address.cast()).expect("the system maps nothing at null unless asked to"))
}

/// Gives address space back.
///
/// # Safety
///
/// The caller owns these pages, and nothing refers to them any more.
pub(crate) unsafe fn release(address: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: the caller's contract.
    unsafe { rustix::mm::munmap(address.cast::<c_void>(), length) }.map_err(io::Error::from)
}

/// Changes what may be done with pages.
///
/// # Safety
///
/// The caller owns these pages, and no reference to them allows what `protection` does not.
pub(crate) unsafe fn protect(
    address: *mut u8,
    length: usize,
    protection: Protection,
) -> io::Result<()> {
    let flags = match protection {
        Protection::Read => MprotectFlags::READ,
        Protection::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
        Protection::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
    };
    // SAFETY: the caller's contract.
    unsafe { rustix::mm::mprotect(address.cast::<c_void>(), length, flags) }
        .map_err(io::Error::from)
}
