//! What the host is told of a window: address space with one unwind table, and records for no code.

use std::ptr::NonNull;

use farcall_arch::Machine;
use farcall_image::ARENA_STRIDE;

use super::pointer;
use super::space::{CHUNK, N_ARENAS};
use super::unwind_index::UnwindIndex;
use crate::sys::host::{HostError, SpaceLayout, UnwoundSpace};

/// Bytes of the unwind table's memory.
pub(super) const INDEX_SIZE: usize = 16 << 20;

/// Where the arenas start of a window whose table is at this address. Chunks are aligned to their size.
pub(super) fn arenas_from(index: u64) -> u64 {
    (index + INDEX_SIZE as u64).next_multiple_of(CHUNK)
}

/// Takes the address space: the table, then the arenas.
pub(super) fn space(machine: Machine) -> Result<UnwoundSpace, HostError> {
    let layout = SpaceLayout {
        contents: &NO_RECORDS,
        room: INDEX_SIZE as u64 + CHUNK + ARENA_STRIDE * N_ARENAS as u64,
        table: UnwindIndex::header_start() as u64..INDEX_SIZE as u64,
    };
    UnwoundSpace::new(machine, &layout)
}

/// Where the record for no code is in [`NO_RECORDS`], and where they end.
const NO_RECORD: u64 = 20;
const RECORDS_END: u64 = NO_RECORD + 20;

/// Unwind records (LSB Core 5.0, "The .eh_frame section"): one for no code, as table entries have it
/// that stand for nothing.
const NO_RECORDS: [u8; 44] = [
    16, 0, 0, 0, 0, 0, 0, 0, // a CIE
    1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, // augmentation, factors, return address, encoding
    0, 0, 0, //                                nothing
    16, 0, 0, 0, 24, 0, 0, 0, // an FDE of that CIE
    0, 0, 0, 0, 0, 0, 0, 0, // no bytes of code
    0, 0, 0, 0, //             nothing
    0, 0, 0, 0, // the end
];

/// The unwind table at `start`, of the window whose space has its contents at `records`.
///
/// # Safety
///
/// As [`UnwindIndex::new`], for the memory at `start`.
pub(super) unsafe fn index(start: u64, records: u64) -> UnwindIndex {
    let memory = NonNull::new(pointer(start)).expect("no space is at null");
    let memory = NonNull::slice_from_raw_parts(memory, INDEX_SIZE);
    // SAFETY: the caller's contract; the space is smaller than 2 GiB.
    unsafe { UnwindIndex::new(memory, records + NO_RECORD, records + RECORDS_END) }
}
