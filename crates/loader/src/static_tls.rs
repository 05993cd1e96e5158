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

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farcall_arch::Machine;
use rustix::fs::MemfdFlags;

use crate::sys::dynamic::{self, Library};

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
    library: Library,
    /// The block's identity.
    module: u64,
    /// Whether its image is unloaded, so that it waits only for those after it.
    is_over: bool,
}

/// Why there is no room.
#[derive(Debug)]
pub(crate) enum StaticTlsError {
    /// A system call failed.
    System(&'static str, io::Error),
    /// The C library's reason.
    Refused(String),
}

/// What each copy starts as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Initial<'a> {
    /// Its first bytes; the rest is zero.
    pub(crate) bytes: &'a [u8],
    /// Its size in bytes, at least that of `bytes`.
    pub(crate) size: u64,
    /// Its alignment in bytes, a power of two.
    pub(crate) align: u64,
}

impl StaticBlock {
    /// Gives every thread a copy.
    pub(crate) fn new(machine: Machine, initial: Initial<'_>) -> Result<Self, StaticTlsError> {
        let file = memory_file().map_err(|error| StaticTlsError::System("memfd_create", error))?;
        let mut file = File::from(file);
        file.write_all(&shared_object(machine, initial))
            .map_err(|error| StaticTlsError::System("write", error))?;
        let path = dynamic::c_string(unique_path(&file).as_bytes());
        let path = path.expect("the path is made of digits, dots and slashes");
        // Held over the opening, so that the order is that of the C library.
        let mut opened = opened();
        let library = Library::open(&path).map_err(StaticTlsError::Refused)?;
        let start = library.load_bias().map_err(StaticTlsError::Refused)?;
        // SAFETY: the object that was opened has these words there, which nobody writes any more.
        let word = |address| unsafe { dynamic::read_word(start.wrapping_add(address)) };
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

fn opened() -> MutexGuard<'static, Vec<Opened>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file without a name.
fn memory_file() -> io::Result<OwnedFd> {
    let create = |flags| rustix::fs::memfd_create(c"farcall-tls", MemfdFlags::CLOEXEC | flags);
    // Some systems refuse files that could be executed, and old ones do not know the flag.
    let file = create(MemfdFlags::NOEXEC_SEAL).or_else(|_| create(MemfdFlags::empty()));
    file.map_err(io::Error::from)
}

/// A path of the file that no file had before.
///
/// The C library takes objects that were opened by one path for one object, and the numbers of files
/// come again. So the path spells a serial number: each bit of it is a slash, those that are set
/// with a dot behind.
fn unique_path(file: &File) -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut path = "/proc/self/fd".to_owned();
    for bit in 0..u64::BITS - serial.leading_zeros() {
        path.push_str(if serial >> bit & 1 == 1 { "/." } else { "/" });
    }
    format!("{path}/{}", file.as_raw_fd())
}

/// Blocks are aligned to this many bytes, and as large or a multiple. The C library takes back a
/// block's size, not what aligned it, and then the block before only if nothing is between them. It
/// never aligns to more than this, unless the program does.
const BLOCK_UNIT: u64 = 64;

// The object's parts by address, which is the offset in the file too. It has one segment.
const PROGRAM_HEADERS: u64 = 64;
const N_PROGRAM_HEADERS: u16 = 4;
const DYNAMIC: u64 = PROGRAM_HEADERS + 4 * 56;
const SYMBOLS: u64 = DYNAMIC + 9 * 16;
const STRINGS: u64 = SYMBOLS + 24;
const RELOCATIONS: u64 = STRINGS + 8;
const OFFSET_WORD: u64 = RELOCATIONS + 2 * 24;
const MODULE_WORD: u64 = OFFSET_WORD + 8;
const HEADERS_END: u64 = MODULE_WORD + 8;

/// A shared object with the thread-local variables, and two words that the C library relocates: the
/// block's offset from the thread pointer, which makes the block a static one, and its identity.
fn shared_object(machine: Machine, initial: Initial<'_>) -> Vec<u8> {
    let bytes = initial.bytes;
    let align = initial.align.max(BLOCK_UNIT);
    let size = initial.size.max(1).next_multiple_of(align);
    let template = HEADERS_END.next_multiple_of(align);
    let file_size = template + bytes.len() as u64;
    let types = machine.dynamic_types();
    let mut out = Output(Vec::new());

    // gABI, "ELF Header": 64 bits, little-endian, version 1; a shared object without sections.
    out.0
        .extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.halves([3, machine.e_machine()]);
    out.words([1]);
    out.xwords([0, PROGRAM_HEADERS, 0]);
    out.words([0]);
    out.halves([64, 56, N_PROGRAM_HEADERS, 64, 0, 0]);

    // Type and flags, then offset, two addresses, two sizes, alignment.
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_TLS: u32 = 7;
    // Without it the C library would make every stack executable.
    const PT_GNU_STACK: u32 = 0x6474_e551;
    const READ: u32 = 4;
    const READ_WRITE: u32 = 6;
    let mut header = |kind, flags, start, file_size, memory_size, align| {
        out.words([kind, flags]);
        out.xwords([start, start, start, file_size, memory_size, align]);
    };
    let initialized = bytes.len() as u64;
    header(
        PT_LOAD,
        READ_WRITE,
        0,
        file_size,
        file_size,
        machine.max_page_size(),
    );
    header(PT_DYNAMIC, READ_WRITE, DYNAMIC, 9 * 16, 9 * 16, 8);
    header(PT_TLS, READ, template, initialized, size, align);
    header(PT_GNU_STACK, READ_WRITE, 0, 0, 0, 16);

    out.xwords([5, STRINGS]); // DT_STRTAB
    out.xwords([6, SYMBOLS]); // DT_SYMTAB
    out.xwords([7, RELOCATIONS]); // DT_RELA
    out.xwords([8, 48]); // DT_RELASZ
    out.xwords([9, 24]); // DT_RELAENT
    out.xwords([10, 1]); // DT_STRSZ
    out.xwords([11, 24]); // DT_SYMENT
    out.xwords([30, 0x10]); // DT_FLAGS: DF_STATIC_TLS
    out.xwords([0, 0]); // DT_NULL

    out.xwords([0; 3]); // The symbol at 0, which is none.
    out.xwords([0]); // The empty string, and padding.
    // Relocations without a symbol mean the object itself.
    out.xwords([OFFSET_WORD, types.tls_offset.into(), 0]);
    out.xwords([MODULE_WORD, types.tls_module.into(), 0]);
    out.xwords([0; 2]);
    let padding = usize::try_from(template).map_or(0, |template| template - out.0.len());
    out.0.resize(out.0.len() + padding, 0);
    out.0.extend_from_slice(bytes);
    out.0
}

/// Bytes with little-endian numbers.
struct Output(Vec<u8>);

impl Output {
    fn halves<const N: usize>(&mut self, values: [u16; N]) {
        self.0.extend(values.into_iter().flat_map(u16::to_le_bytes));
    }

    fn words<const N: usize>(&mut self, values: [u32; N]) {
        self.0.extend(values.into_iter().flat_map(u32::to_le_bytes));
    }

    fn xwords<const N: usize>(&mut self, values: [u64; N]) {
        self.0.extend(values.into_iter().flat_map(u64::to_le_bytes));
    }
}
