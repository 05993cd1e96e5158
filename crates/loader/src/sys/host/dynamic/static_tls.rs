//! Thread-local variables at one distance from every thread's pointer: the initial-exec model.
//!
//! Code of this model adds a number from the GOT to the thread pointer, so that every thread, those
//! that run already too, must have the variables there, with their initial values. Only the C
//! library can do that: it keeps some room in each thread's static block for shared objects that
//! are opened late. So it gets one to open, which is nothing but the image's thread-local variables:
//! a file in memory, with no name, no code and no page that stays but its own. The C library sets up
//! the copies of all threads, present and future, numbers the object as one of its own, so that the
//! variables serve the other models too, and takes the room back at the end.
//!
//! It takes back only what it gave last. So objects are closed in the reverse order of their opening,
//! whatever the order in which images are unloaded ([`Opened`]).
//!
//! Tried and rejected: room in a thread-local array of the loader's own. Nobody but the C library
//! can write to the copies of threads that run already.

use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farcall_arch::Machine;

use super::object::{self, Header, HostObject, Output};
use crate::sys::host::{HostError, Initial};
use crate::sys::machine::STATIC_BLOCK_UNIT;

/// The thread-local variables of one image, in every thread. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct StaticBlock {
    /// The identity that the host's `__tls_get_addr` knows it by.
    pub(crate) module: u64,
    /// Where each thread's copy is from its pointer.
    pub(crate) offset: u64,
}

/// The objects that are open, the last one at the end.
static OPENED: Mutex<Vec<Opened>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Opened {
    #[expect(dead_code, reason = "held open")]
    library: HostObject,
    /// The block's identity.
    module: u64,
    /// Whether its image is unloaded, so that it waits only for those after it.
    is_over: bool,
}

impl StaticBlock {
    /// Gives every thread a copy.
    pub(crate) fn new(machine: Machine, initial: Initial<'_>) -> Result<Self, HostError> {
        let bytes = shared_object(machine, initial);
        // Held over the opening, so that the order is that of the C library.
        let mut opened = opened();
        let library = object::open(&bytes)?;
        let start = library.load_bias()?;
        // SAFETY: the object that was opened has these words there, which nobody writes any more.
        let word = |address| unsafe { read_word(start.wrapping_add(address)) };
        let (module, offset) = (word(MODULE_WORD), word(OFFSET_WORD));
        opened.push(Opened {
            library,
            module,
            is_over: false,
        });
        Ok(Self { module, offset })
    }
}

impl Drop for StaticBlock {
    fn drop(&mut self) {
        let mut opened = opened();
        let mut all = opened.iter_mut();
        if let Some(own) = all.find(|it| it.module == self.module) {
            own.is_over = true;
        }
        while opened.pop_if(|last| last.is_over).is_some() {}
    }
}

/// The word at an address.
///
/// # Safety
///
/// It is readable, aligned, and nobody writes to it now.
unsafe fn read_word(address: u64) -> u64 {
    let address = usize::try_from(address).expect("it is an address in this process");
    // SAFETY: the caller's contract.
    unsafe { std::ptr::with_exposed_provenance::<u64>(address).read() }
}

/// Holds the lock of all objects.
pub(crate) fn lock() -> impl Any {
    opened()
}

fn opened() -> MutexGuard<'static, Vec<Opened>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

// The object's parts by address, which is the offset in the file too. It has one segment.
const SYMBOLS: u64 = object::contents_start(2, 8);
const STRINGS: u64 = SYMBOLS + 24;
const RELOCATIONS: u64 = STRINGS + 8;
const OFFSET_WORD: u64 = RELOCATIONS + 2 * 24;
const MODULE_WORD: u64 = OFFSET_WORD + 8;
const CONTENTS_END: u64 = MODULE_WORD + 8;

/// A shared object with the thread-local variables, and two words that the C library relocates: the
/// block's offset from the thread pointer, which makes the block a static one, and its identity.
fn shared_object(machine: Machine, initial: Initial<'_>) -> Vec<u8> {
    let bytes = initial.bytes;
    let align = initial.align.max(STATIC_BLOCK_UNIT);
    let memory_size = initial.size.max(1).next_multiple_of(align);
    let start = CONTENTS_END.next_multiple_of(align);
    let file_size = start + bytes.len() as u64;
    let types = machine.dynamic_types();
    let headers = [
        Header {
            kind: object::PT_LOAD,
            flags: object::READ_WRITE,
            start: 0,
            file_size,
            memory_size: file_size,
            align: machine.max_page_size(),
        },
        Header {
            kind: object::PT_TLS,
            flags: object::READ,
            start,
            file_size: bytes.len() as u64,
            memory_size,
            align,
        },
    ];
    let dynamic = [
        (5, STRINGS),     // DT_STRTAB
        (6, SYMBOLS),     // DT_SYMTAB
        (7, RELOCATIONS), // DT_RELA
        (8, 48),          // DT_RELASZ
        (9, 24),          // DT_RELAENT
        (10, 1),          // DT_STRSZ
        (11, 24),         // DT_SYMENT
        (30, 0x10),       // DT_FLAGS: DF_STATIC_TLS
    ];
    let mut contents = Output(Vec::new());
    contents.xwords([0; 3]); // The symbol at 0, which is none.
    contents.xwords([0]); // The empty string, and padding.
    // Relocations without a symbol mean the object itself.
    contents.xwords([OFFSET_WORD, types.tls_offset.into(), 0]);
    contents.xwords([MODULE_WORD, types.tls_module.into(), 0]);
    contents.xwords([0; 2]);
    let padding = usize::try_from(start - CONTENTS_END).expect("it is less than the alignment");
    contents.0.resize(contents.0.len() + padding, 0);
    contents.0.extend_from_slice(bytes);
    object::file(machine, &headers, &dynamic, &contents.0)
}
