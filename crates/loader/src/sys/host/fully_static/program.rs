//! The program itself, which is all that there is: its headers and its thread-local variables.

use std::collections::HashMap;
use std::ffi::c_void;

use crate::load::pointer;
use crate::sys::host::{HostTls, Program, Segment};
use crate::sys::tls_descriptor::thread_pointer;
use crate::tls::TlsIndex;

/// The identity of the program's thread-local variables: the first module is the program (ELF Handling For
/// Thread-Local Storage, section 3.1).
const OWN_MODULE: u64 = 1;

unsafe extern "C" {
    /// The program's ELF header, where every linker has it in memory; the symbol is the linker's own.
    static __ehdr_start: libc::Elf64_Ehdr;
}

/// What is added to an address of the program's file, and its program headers.
pub(super) fn headers() -> (u64, &'static [libc::Elf64_Phdr]) {
    let header = &raw const __ehdr_start;
    // SAFETY: the header is in memory as long as the program, which nobody changes.
    let own = unsafe { &*header };
    let (count, offset) = (own.e_phnum, usize::try_from(own.e_phoff));
    let offset = offset.expect("the table is in memory");
    let table = header.cast::<u8>().wrapping_add(offset);
    // SAFETY: the header says where the table is, and the C library reads it there too.
    let table: &[libc::Elf64_Phdr] =
        unsafe { std::slice::from_raw_parts(table.cast(), usize::from(count)) };
    let mut segments = table.iter();
    let first = segments.find(|it| it.p_type == libc::PT_LOAD && it.p_offset == 0);
    let vaddr = first.map_or(0, |first| first.p_vaddr);
    let bias = (header.expose_provenance() as u64).wrapping_sub(vaddr);
    (bias, table)
}

fn thread_local_segment() -> Option<&'static libc::Elf64_Phdr> {
    headers().1.iter().find(|it| it.p_type == libc::PT_TLS)
}

/// Where the program's block is from every thread's pointer, if it has one.
///
/// Linkers count on it in the code of programs, so that no C library has a choice. It ends at the pointer, and
/// starts at an address that is to the alignment what the segment's is (ELF Handling For Thread-Local
/// Storage, section 3, variant II).
fn own_distance() -> Option<u64> {
    let segment = thread_local_segment()?;
    let mask = segment.p_align.max(1) - 1;
    let end = segment.p_vaddr.wrapping_add(segment.p_memsz);
    let slack = end.wrapping_neg() & mask;
    Some(segment.p_memsz.wrapping_add(slack).wrapping_neg())
}

/// The address in this thread of a thread-local variable of the program's.
///
/// # Safety
///
/// The pair is one, of the program and of the offset of a variable in its block.
pub(crate) unsafe fn tls_get_addr(pair: *const TlsIndex) -> *mut c_void {
    // SAFETY: the caller's contract.
    let offset = unsafe { (*pair).offset };
    let distance = own_distance().unwrap_or_default();
    let address = thread_pointer().wrapping_add(distance).wrapping_add(offset);
    pointer(address)
}

/// The program, if the thread-local variable at `address` in this thread is its.
pub(crate) fn host_tls_at(address: u64) -> Option<HostTls> {
    let start = thread_pointer().wrapping_add(own_distance()?);
    let block = start..start.saturating_add(thread_local_segment()?.p_memsz);
    block.contains(&address).then_some(HostTls {
        module: OWN_MODULE,
        block,
    })
}

/// Where the program's thread-local variables are from every thread's pointer.
pub(crate) fn static_blocks(modules: &[u64]) -> HashMap<u64, u64> {
    if !modules.contains(&OWN_MODULE) {
        return HashMap::new();
    }
    let blocks = own_distance().map(|distance| (OWN_MODULE, distance));
    blocks.into_iter().collect()
}

/// The program that the process runs.
pub(crate) fn program() -> Option<Program> {
    let (bias, headers) = headers();
    let segments = headers.iter().map(|header| Segment {
        kind: header.p_type,
        address: header.p_vaddr,
        size: header.p_memsz,
    });
    Some(Program {
        bias,
        segments: segments.collect(),
        thread_locals: thread_local_segment().map(|_| OWN_MODULE),
    })
}
