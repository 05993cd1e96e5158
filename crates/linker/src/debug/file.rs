//! The file beside an image that holds its debug information: the image's headers, sections that say
//! where they are in memory but have no bytes, and the debug sections.
//!
//! Debuggers know whose it is by the build-id, which is the image's digest.

use object::elf::{FileHeader64, ProgramHeader64};
use object::endian::{LittleEndian as LE, U64};
use object::pod::{from_bytes_mut, slice_from_bytes_mut};

use super::Unloaded;
use crate::headers;
use crate::layout::{FILE_HEADER_SIZE, Layout, PROGRAM_HEADER_SIZE};
use crate::output::{Content, OutputSection, Synthetic};

/// The file for `image`, which has this layout.
pub(crate) fn debug_file(image: &[u8], layout: &Layout<'_>, unloaded: &[Unloaded]) -> Vec<u8> {
    let headers = FILE_HEADER_SIZE + PROGRAM_HEADER_SIZE * layout.n_program_headers as u64;
    let range = |start: u64, size: u64| {
        let index = |at: u64| usize::try_from(at).expect("it is in the image, which is in memory");
        index(start)..index(start + size)
    };
    let mut out = image[range(0, headers)].to_vec();
    let notes = layout.synthetic(Synthetic::Notes);
    let notes_offset = out.len() as u64;
    if let Some(section) = notes {
        out.extend_from_slice(&image[range(section.file_offset, section.size)]);
    }
    let (_, rest) = from_bytes_mut::<FileHeader64<LE>>(&mut out).expect("an image starts with it");
    let (program_headers, _) =
        slice_from_bytes_mut::<ProgramHeader64<LE>>(rest, layout.n_program_headers)
            .expect("it is followed by these");
    for header in program_headers {
        // An address and an offset agree within a page, even where there are no bytes.
        let align = header.p_align.get(LE).max(1);
        header.p_offset = U64::new(LE, header.p_vaddr.get(LE) % align);
        header.p_filesz = U64::new(LE, 0);
    }
    let offset = |section: &OutputSection<'_>| {
        (section.content == Content::Synthetic(Synthetic::Notes)).then_some(notes_offset)
    };
    let (headers_offset, n_sections) = headers::append_sections(&mut out, layout, unloaded, offset);
    let (file_header, _) = from_bytes_mut::<FileHeader64<LE>>(&mut out).expect("it is still there");
    headers::set_section_table(file_header, headers_offset, n_sections);
    out
}
