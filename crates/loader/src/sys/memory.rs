//! Address space and its protection.

use std::ffi::{CStr, c_void};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

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

/// A file without a name, in memory, that will have `size` bytes. `executable` says whether code of it is
/// to run.
pub(crate) fn memory_file(name: &CStr, executable: bool, size: u64) -> io::Result<OwnedFd> {
    new_file(name, executable, size, MemfdFlags::CLOEXEC)
}

/// As [`memory_file`], for code, and it can be sealed.
pub(crate) fn sealable_file(name: &CStr, size: u64) -> io::Result<OwnedFd> {
    new_file(
        name,
        true,
        size,
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )
}

fn new_file(name: &CStr, executable: bool, size: u64, common: MemfdFlags) -> io::Result<OwnedFd> {
    // Growing a file beyond this limit, even one in memory, ends the process by a signal.
    if size > file_size_limit() {
        return Err(Errno::FBIG.into());
    }
    let create = |flags| rustix::fs::memfd_create(name, common | flags);
    let wanted = if executable {
        MemfdFlags::EXEC
    } else {
        MemfdFlags::NOEXEC_SEAL
    };
    // Some systems refuse files that do not say which of the two they are, and old ones do not know
    // how that is said.
    let file = create(wanted).or_else(|_| create(MemfdFlags::empty()));
    file.map_err(io::Error::from)
}

fn flags_of(protection: Protection) -> ProtFlags {
    match protection {
        Protection::Read => ProtFlags::READ,
        Protection::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        Protection::ReadExecute => ProtFlags::READ | ProtFlags::EXEC,
    }
}

/// The largest file that this process may make, in bytes.
fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the limit is written there. On failure what it says stays.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    limit.rlim_cur
}

/// Makes a file's bytes from `offset` on the contents of `length` bytes of memory from `address` on.
/// What is written there is in the file, and in all other mappings of it.
///
/// # Safety
///
/// The caller owns these pages, and nothing refers to them.
pub(crate) unsafe fn map_shared(
    address: *mut u8,
    length: usize,
    protection: Protection,
    file: impl AsFd,
    offset: u64,
) -> io::Result<()> {
    // SAFETY: the caller's contract.
    unsafe { map_file(address, length, protection, MapFlags::SHARED, file, offset) }
}

/// As [`map_shared`], but what is written there would be this process's alone.
///
/// # Safety
///
/// As [`map_shared`]; and nobody changes these bytes of the file as long as they are used.
pub(crate) unsafe fn map_private(
    address: *mut u8,
    length: usize,
    protection: Protection,
    file: impl AsFd,
    offset: u64,
) -> io::Result<()> {
    // SAFETY: the caller's contract.
    unsafe { map_file(address, length, protection, MapFlags::PRIVATE, file, offset) }
}

/// As [`map_shared`], or with what is written kept from the file.
///
/// # Safety
///
/// As [`map_shared`], or [`map_private`].
unsafe fn map_file(
    address: *mut u8,
    length: usize,
    protection: Protection,
    sharing: MapFlags,
    file: impl AsFd,
    offset: u64,
) -> io::Result<()> {
    let (protection, flags) = (flags_of(protection), sharing | MapFlags::FIXED);
    // SAFETY: the caller's contract.
    let mapped =
        unsafe { rustix::mm::mmap(address.cast(), length, protection, flags, file, offset) };
    mapped.map(drop).map_err(io::Error::from)
}

/// Makes `length` bytes of memory from `address` on new, writable ones of this process alone, and gets
/// memory for them now.
///
/// # Safety
///
/// The caller owns these pages, and nothing refers to them.
pub(crate) unsafe fn map_new(address: *mut u8, length: usize) -> io::Result<()> {
    let protection = flags_of(Protection::ReadWrite);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::POPULATE;
    // SAFETY: the caller's contract.
    let mapped = unsafe { rustix::mm::mmap_anonymous(address.cast(), length, protection, flags) };
    mapped.map(drop).map_err(io::Error::from)
}

/// Makes `length` bytes of memory from `address` on pages that nothing may be done with.
///
/// # Safety
///
/// The caller owns these pages, and nothing refers to them.
pub(crate) unsafe fn map_nothing(address: *mut u8, length: usize) -> io::Result<()> {
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    // SAFETY: the caller's contract.
    let mapped =
        unsafe { rustix::mm::mmap_anonymous(address.cast(), length, ProtFlags::empty(), flags) };
    mapped.map(drop).map_err(io::Error::from)
}

/// What tells a file from others, also when its number is another file's by now.
pub(crate) fn identity(file: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Leaves pages out of processes that are forked off.
///
/// # Safety
///
/// The caller owns these pages, and no forked process uses them.
pub(crate) unsafe fn keep_from_children(address: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: the caller's contract.
    unsafe { rustix::mm::madvise(address.cast(), length, Advice::LinuxDontFork) }
        .map_err(io::Error::from)
}

/// Gets memory for writable pages now, so that there is an error if there is none, and one call for
/// what would be a fault for each page.
///
/// # Safety
///
/// The caller owns these pages.
pub(crate) unsafe fn populate(address: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: the caller's contract; the contents stay.
    match unsafe { rustix::mm::madvise(address.cast(), length, Advice::LinuxPopulateWrite) } {
        // A system before Linux 5.14: the faults come one by one.
        Err(Errno::INVAL) => Ok(()),
        result => result.map_err(io::Error::from),
    }
}

/// Gives the memory of pages back, which are zero afterwards: for private pages without a file.
///
/// # Safety
///
/// The caller owns these pages, and nothing refers to what they hold.
pub(crate) unsafe fn discard(address: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: the caller's contract.
    unsafe { rustix::mm::madvise(address.cast(), length, Advice::LinuxDontNeed) }
        .map_err(io::Error::from)
}

/// As [`discard`], for pages that share a file in memory: its memory is given back too.
///
/// # Safety
///
/// As [`discard`], in every mapping of that part of the file. The pages are writable.
pub(crate) unsafe fn discard_shared(address: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: the caller's contract.
    unsafe { rustix::mm::madvise(address.cast(), length, Advice::LinuxRemove) }
        .map_err(io::Error::from)
}
