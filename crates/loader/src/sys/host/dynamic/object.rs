//! Shared objects that are made for the host's own dynamic linker: a few headers that tell it of what only
//! it can tell the rest of the process.
//!
//! They are files in memory, with no name and no code.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering};

use farcall_arch::Machine;

use super::Library;
use crate::sys::host::{self, HostError};
use crate::sys::memory;

/// A program header. Addresses are offsets in the file where there are bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) start: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) align: u64,
}

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_TLS: u32 = 7;
pub(crate) const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PT_DYNAMIC: u32 = 2;
const PT_GNU_STACK: u32 = 0x6474_e551;
pub(crate) const READ: u32 = 4;
pub(crate) const READ_WRITE: u32 = 6;

const ELF_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
const DYNAMIC_ENTRY: u64 = 16;
/// Besides those given: `PT_DYNAMIC` and `PT_GNU_STACK`.
const N_OWN_HEADERS: u64 = 2;

/// Where the contents of an object with so many headers and dynamic entries start.
pub(crate) const fn contents_start(n_headers: u64, n_dynamic: u64) -> u64 {
    // The dynamic table's end is an entry too.
    ELF_HEADER + PROGRAM_HEADER * (n_headers + N_OWN_HEADERS) + DYNAMIC_ENTRY * (n_dynamic + 1)
}

/// The bytes of an object with these headers, dynamic entries and contents.
pub(crate) fn file(
    machine: Machine,
    headers: &[Header],
    dynamic: &[(u64, u64)],
    contents: &[u8],
) -> Vec<u8> {
    let mut out = Output(Vec::new());
    let n_headers = headers.len() as u64 + N_OWN_HEADERS;
    // gABI, "ELF Header": 64 bits, little-endian, version 1; a shared object without sections.
    out.0
        .extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.halves([3, machine.e_machine()]);
    out.words([1]);
    out.xwords([0, ELF_HEADER, 0]);
    out.words([0]);
    let n_headers_field = u16::try_from(n_headers).expect("there are a few");
    out.halves([64, 56, n_headers_field, 64, 0, 0]);

    let table = ELF_HEADER + PROGRAM_HEADER * n_headers;
    let table_size = DYNAMIC_ENTRY * (dynamic.len() as u64 + 1);
    let own = [
        Header {
            kind: PT_DYNAMIC,
            flags: READ_WRITE,
            start: table,
            file_size: table_size,
            memory_size: table_size,
            align: 8,
        },
        // Without it the C library would make every stack executable.
        Header {
            kind: PT_GNU_STACK,
            flags: READ_WRITE,
            start: 0,
            file_size: 0,
            memory_size: 0,
            align: 16,
        },
    ];
    for header in headers.iter().chain(&own) {
        // Type and flags, then offset, two addresses, two sizes, alignment.
        out.words([header.kind, header.flags]);
        let Header { start, align, .. } = *header;
        let (file_size, memory_size) = (header.file_size, header.memory_size);
        out.xwords([start, start, start, file_size, memory_size, align]);
    }
    for &(tag, value) in dynamic.iter().chain(&[(0, 0)]) {
        out.xwords([tag, value]);
    }
    out.0.extend_from_slice(contents);
    out.0
}

/// An object that the host's dynamic linker has opened.
///
/// It has no name. Its path names another file by the time that a debugger opens it, which waits for ever if
/// that is a pipe; a debugger leaves out what has no name.
#[derive(Debug)]
pub(crate) struct HostObject {
    library: Library,
    /// The address of its name, which is the dynamic linker's.
    name: usize,
}

impl HostObject {
    /// What is added to an address of the object.
    pub(crate) fn load_bias(&self) -> Result<u64, HostError> {
        self.library.load_bias().map_err(HostError::Refused)
    }
}

impl Drop for HostObject {
    fn drop(&mut self) {
        let name = std::ptr::with_exposed_provenance(self.name);
        // SAFETY: the name is the library's own. Without it the dynamic linker would free what is not its.
        let result = unsafe { self.library.rename(name) };
        assert!(result.is_ok(), "a library has been renamed before");
    }
}

/// Has the host's dynamic linker open an object.
pub(crate) fn open(object: &[u8]) -> Result<HostObject, HostError> {
    let system = |call| move |error| HostError::System(call, error);
    let file = memory::memory_file(c"farcall-object", false, object.len() as u64)
        .map_err(system("memfd_create"))?;
    let mut file = File::from(file);
    file.write_all(object).map_err(system("write"))?;
    let path = host::c_string(unique_path(&file).as_bytes());
    let path = path.expect("the path is made of digits, dots and slashes");
    let library = Library::open(&path).map_err(HostError::Refused)?;
    // SAFETY: the name is static, and dropping the object gives the old one back.
    let name = unsafe { library.rename(c"".as_ptr()) }.map_err(HostError::Refused)?;
    let name = name.expose_provenance();
    Ok(HostObject { library, name })
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

/// Bytes to which little-endian numbers are appended.
pub(crate) struct Output(pub(crate) Vec<u8>);

impl Output {
    fn halves<const N: usize>(&mut self, values: [u16; N]) {
        self.0.extend(values.into_iter().flat_map(u16::to_le_bytes));
    }

    pub(crate) fn words<const N: usize>(&mut self, values: [u32; N]) {
        self.0.extend(values.into_iter().flat_map(u32::to_le_bytes));
    }

    pub(crate) fn xwords<const N: usize>(&mut self, values: [u64; N]) {
        self.0.extend(values.into_iter().flat_map(u64::to_le_bytes));
    }
}
