//! Address space that the host's dynamic linker takes for a shared object with an unwind table.

use farcall_arch::Machine;

use super::object::{self, Header, HostObject};
use crate::sys::host::{HostError, SpaceLayout};

/// Address space whose unwind table the host's unwinder knows, until this is dropped.
#[derive(Debug)]
pub(crate) struct UnwoundSpace {
    object: HostObject,
    page: u64,
}

impl UnwoundSpace {
    /// Takes the space.
    pub(crate) fn new(machine: Machine, layout: &SpaceLayout<'_>) -> Result<Self, HostError> {
        let page = machine.max_page_size();
        let object = object::open(&shared_object(machine, page, layout))?;
        Ok(Self { object, page })
    }

    /// The address of the contents.
    pub(crate) fn contents(&self) -> Result<u64, HostError> {
        Ok(self.object.load_bias()? + CONTENTS + TABLES.len() as u64)
    }

    /// The address of the room.
    pub(crate) fn room(&self) -> Result<u64, HostError> {
        Ok(self.object.load_bias()? + self.page)
    }
}

const CONTENTS: u64 = object::contents_start(3, 4);
/// The symbol table, of which an object has one with the symbol that is none, and the empty string.
const TABLES: [u8; 32] = [0; 32];
const STRINGS: u64 = CONTENTS + 24;

/// The object. Its room follows its headers and contents, from the next page on.
fn shared_object(machine: Machine, page: u64, layout: &SpaceLayout<'_>) -> Vec<u8> {
    let contents = [&TABLES, layout.contents].concat();
    let file_size = CONTENTS + contents.len() as u64;
    assert!(file_size <= page, "contents are less than a page");
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
            object::PT_LOAD,
            object::READ_WRITE,
            0,
            file_size,
            file_size,
            page,
        ),
        // Nothing may be done with it until it is given memory.
        header(object::PT_LOAD, 0, page, 0, layout.room, page),
        header(
            object::PT_GNU_EH_FRAME,
            object::READ,
            page + layout.table.start,
            0,
            layout.table.end - layout.table.start,
            4,
        ),
    ];
    let dynamic = [
        (5, STRINGS),  // DT_STRTAB
        (6, CONTENTS), // DT_SYMTAB
        (10, 1),       // DT_STRSZ
        (11, 24),      // DT_SYMENT
    ];
    object::file(machine, &headers, &dynamic, &contents)
}
