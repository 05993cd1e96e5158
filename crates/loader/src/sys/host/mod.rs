//! What only the host can tell or do: its names, its libraries, its thread-local variables, its unwinder.
//!
//! There are two kinds of hosts. A dynamic one has a dynamic linker, which knows all of it. A fully static
//! one (`crt-static`) has none: names come from tables, and the unwinder is told through the one function
//! that it asks, `dl_iterate_phdr`. Each kind is a module that has the same items; nothing above knows
//! which one it is. `Library`, `exported`, `host_tls_at`, `tls_get_addr`, `static_blocks` and `program` find things;
//! `StaticBlock`, `UnwindTables` and `UnwoundSpace` are held as long as the host is to know of something.

#[cfg(not(target_feature = "crt-static"))]
mod dynamic;
#[cfg(not(target_env = "musl"))]
mod frames;
#[cfg(target_feature = "crt-static")]
mod fully_static;

use std::ffi::CString;
use std::io;
use std::ops::Range;

#[cfg(not(target_feature = "crt-static"))]
pub(crate) use dynamic::*;
#[cfg(target_feature = "crt-static")]
pub(crate) use fully_static::*;

/// Why the host does not take something.
#[derive(Debug)]
pub(crate) enum HostError {
    /// A system call failed.
    System(&'static str, io::Error),
    /// The C library's reason, or that there is nobody to ask.
    Refused(String),
}

/// What each thread's copy of some thread-local variables starts as.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "a host reads what it can do something with")]
pub(crate) struct Initial<'a> {
    /// Its first bytes; the rest is zero.
    pub(crate) bytes: &'a [u8],
    /// Its size in bytes, at least that of `bytes`.
    pub(crate) size: u64,
    /// Its alignment in bytes, a power of two.
    pub(crate) align: u64,
}

/// The unwind table of an image, by addresses in this process.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "a host reads what its unwinder wants")]
pub(crate) struct UnwindTable {
    /// The records, which a zero word ends.
    pub(crate) records: Range<u64>,
    /// The `.eh_frame_hdr`.
    pub(crate) header: Range<u64>,
    /// All code that the records are for.
    pub(crate) code: Range<u64>,
}

/// Address space with one unwind table, which changes while it is used.
#[derive(Debug)]
pub(crate) struct SpaceLayout<'a> {
    /// Bytes that stay, less than a page.
    pub(crate) contents: &'a [u8],
    /// How many bytes of address space are wanted besides. Nothing may be done with them at first.
    pub(crate) room: u64,
    /// Where the `.eh_frame_hdr` will be, from the start of the room.
    pub(crate) table: Range<u64>,
}

/// The thread-local variables of a library of the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostTls {
    /// The identity of the library, as the host's `__tls_get_addr` knows it.
    pub(crate) module: u64,
    /// The addresses of this thread's copy.
    pub(crate) block: Range<u64>,
}

/// The C string with these bytes; `None` when one of them is zero.
pub(crate) fn c_string(bytes: &[u8]) -> Option<CString> {
    CString::new(bytes).ok()
}

/// The program that the process runs, where it is in memory.
#[derive(Debug)]
pub(crate) struct Program {
    /// What is added to an address of its file: 0 unless it is position-independent.
    pub(crate) bias: u64,
    /// Its program headers, in the order of its file.
    pub(crate) segments: Vec<Segment>,
    /// The identity of its thread-local variables, if it has any.
    pub(crate) thread_locals: Option<u64>,
}

/// A program header. Addresses are those of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) address: u64,
    pub(crate) size: u64,
}

impl Segment {
    /// Whether the address is in the segment, or the first one after it, where the symbols that end
    /// sections stand.
    pub(crate) fn contains(&self, address: u64) -> bool {
        (address.checked_sub(self.address)).is_some_and(|offset| offset <= self.size)
    }
}
