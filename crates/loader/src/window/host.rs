//! What the host's dynamic linker takes a window for: a shared object with unwind records for no code, and
//! room.

use std::ptr::NonNull;

use farcall_arch::Machine;
use farcall_image::ARENA_STRIDE;

use super::pointer;
use super::space::{CHUNK, N_ARENAS};
use super::unwind_index::UnwindIndex;
use crate::host_object::{self, Header};

/// Bytes of the unwind table's memory.
pub(super) const INDEX_SIZE: usize = 16 << 20;

/// Where the arenas start of a window whose table is at this address. Chunks are aligned to their size.
pub(super) fn arenas_from(index: u64) -> u64 {
    (index + INDEX_SIZE as u64).next_multiple_of(CHUNK)
}

/// The object. Behind its headers, from the next page on, are the table and the arenas.
pub(super) fn shared_object(machine: Machine) -> Vec<u8> {
    let page = machine.max_page_size();
    let room = INDEX_SIZE as u64 + CHUNK + ARENA_STRIDE * N_ARENAS as u64;
    let contents = [&[0; STRINGS_SIZE + SYMBOLS_SIZE][..], &NO_RECORDS].concat();
    let file_size = CONTENTS + contents.len() as u64;
    let index = page + UnwindIndex::header_start() as u64;
    let header = |kind, flags, start, file_size, memory_size, align| Header {
        kind,
        flags,
        start,
        file_size,
        memory_size,
        align,
    };
    let headers = [
        header(
            host_object::PT_LOAD,
            host_object::READ_WRITE,
            0,
            file_size,
            file_size,
            page,
        ),
        // Nothing may be done with it until it is given memory.
        header(host_object::PT_LOAD, 0, page, 0, room, page),
        header(
            host_object::PT_GNU_EH_FRAME,
            host_object::READ,
            index,
            0,
            INDEX_SIZE as u64 - UnwindIndex::header_start() as u64,
            4,
        ),
    ];
    let dynamic = [
        (5, CONTENTS + SYMBOLS_SIZE as u64), // DT_STRTAB
        (6, CONTENTS),                       // DT_SYMTAB
        (10, 1),                             // DT_STRSZ
        (11, 24),                            // DT_SYMENT
    ];
    host_object::file(machine, &headers, &dynamic, &contents)
}

const CONTENTS: u64 = host_object::contents_start(3, 4);
const SYMBOLS_SIZE: usize = 24;
const STRINGS_SIZE: usize = 8;
const RECORDS: u64 = CONTENTS + (SYMBOLS_SIZE + STRINGS_SIZE) as u64;
const NO_RECORD: u64 = RECORDS + 20;
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

/// The unwind table of the window whose object has this bias.
///
/// # Safety
///
/// As [`UnwindIndex::new`], for the memory at `start`.
pub(super) unsafe fn index(start: u64, bias: u64) -> UnwindIndex {
    let memory = NonNull::new(pointer(start)).expect("the object is not at null");
    let memory = NonNull::slice_from_raw_parts(memory, INDEX_SIZE);
    // SAFETY: the caller's contract; the object is smaller than 2 GiB.
    unsafe { UnwindIndex::new(memory, bias + NO_RECORD, bias + RECORDS_END) }
}
