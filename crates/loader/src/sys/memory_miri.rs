//! Address space under Miri: memory of the allocator, with no protection, and no files.

use std::alloc::{self, Layout};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

/// What may be done with pages. There is no writable and executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    Read,
    ReadWrite,
    ReadExecute,
}

const PAGE_SIZE: usize = 4096;
/// Miri ends where there is no more.
const MOST: usize = 1 << 30;

pub(crate) fn page_size() -> usize {
    PAGE_SIZE
}

fn layout(length: usize) -> io::Result<Layout> {
    Layout::from_size_align(length, PAGE_SIZE).map_err(|_| io::ErrorKind::OutOfMemory.into())
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn reserve(length: usize) -> io::Result<NonNull<u8>> {
    let layout = layout(length)?;
    if length > MOST {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    assert_ne!(length, 0, "an image is not empty");
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc::alloc_zeroed(layout) };
    NonNull::new(memory).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// # Safety
///
/// `reserve` gave the memory, and nothing refers to it any more.
pub(crate) unsafe fn release(address: *mut u8, length: usize) -> io::Result<()> {
    let layout = layout(length)?;
    // SAFETY: the caller's contract.
    unsafe { alloc::dealloc(address, layout) };
    Ok(())
}

/// # Safety
///
/// None: nothing is done.
pub(crate) unsafe fn protect(_: *mut u8, _: usize, _: Protection) -> io::Result<()> {
    Ok(())
}

/// # Safety
///
/// The caller owns the memory, and nothing refers to it.
pub(crate) unsafe fn map_new(address: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: the caller's contract.
    unsafe { address.write_bytes(0, length) };
    Ok(())
}

pub(crate) fn memory_file(_: &CStr, _: bool, _: u64) -> io::Result<OwnedFd> {
    unsupported()
}

pub(crate) fn sealable_file(_: &CStr, _: u64) -> io::Result<OwnedFd> {
    unsupported()
}

/// # Safety
///
/// None: nothing is done.
pub(crate) unsafe fn map_shared(
    _: *mut u8,
    _: usize,
    _: Protection,
    _: impl AsFd,
    _: u64,
) -> io::Result<()> {
    unsupported()
}

/// # Safety
///
/// None: nothing is done.
pub(crate) unsafe fn map_private(
    _: *mut u8,
    _: usize,
    _: Protection,
    _: impl AsFd,
    _: u64,
) -> io::Result<()> {
    unsupported()
}

/// # Safety
///
/// None: nothing is done.
pub(crate) unsafe fn map_nothing(_: *mut u8, _: usize) -> io::Result<()> {
    unsupported()
}

pub(crate) fn identity(_: impl AsFd) -> io::Result<(u64, u64)> {
    unsupported()
}

/// # Safety
///
/// None: nothing is done.
pub(crate) unsafe fn keep_from_children(_: *mut u8, _: usize) -> io::Result<()> {
    unsupported()
}

/// # Safety
///
/// None: nothing is done.
pub(crate) unsafe fn populate(_: *mut u8, _: usize) -> io::Result<()> {
    unsupported()
}

/// # Safety
///
/// None: nothing is done.
pub(crate) unsafe fn discard(_: *mut u8, _: usize) -> io::Result<()> {
    unsupported()
}

/// # Safety
///
/// None: nothing is done.
pub(crate) unsafe fn discard_shared(_: *mut u8, _: usize) -> io::Result<()> {
    unsupported()
}
