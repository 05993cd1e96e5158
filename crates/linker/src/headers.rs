//! The headers of an image: the file's, the segments' and the sections'.

use std::ops::Range;

use farcall_arch::Machine;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::endian::{LittleEndian as LE, U16, U32, U64};
use object::pod::bytes_of;

use crate::debug::Unloaded;
use crate::layout::{FILE_HEADER_SIZE, Layout};
use crate::output::{Content, OutputSection, SegmentKind, Synthetic};

/// Writes the file header and the program headers at the start of the image, and appends the section
/// headers.
///
/// `has_indirect` says whether it exports indirect functions, which are an extension of GNU's.
/// `unloaded` is what comes behind what is loaded.
pub(crate) fn write(
    out: &mut Vec<u8>,
    machine: Machine,
    layout: &Layout<'_>,
    has_indirect: bool,
    unloaded: &[Unloaded],
) {
    write_program_headers(out, layout);
    let offset = |section: &OutputSection<'_>| Some(section.file_offset);
    let (headers_offset, n_sections) = append_sections(out, layout, unloaded, offset);
    let os_abi = if has_indirect {
        elf::ELFOSABI_GNU
    } else {
        elf::ELFOSABI_SYSV
    };
    write_file_header(out, machine, os_abi, layout, headers_offset, n_sections);
}

/// The number of program headers that an image with these sections has.
pub(crate) fn n_program_headers(sections: &[OutputSection<'_>]) -> usize {
    let n_segments = SegmentKind::ALL
        .into_iter()
        .filter(|&kind| sections.iter().any(|section| section.segment == kind))
        .count();
    let has_tls = sections.iter().any(OutputSection::is_tls);
    let has = |synthetic| {
        let mut sections = sections.iter();
        sections.any(|section| section.content == Content::Synthetic(synthetic))
    };
    let has_unwind = has(Synthetic::UnwindHeader);
    // A PT_NOTE and PT_GNU_PROPERTY.
    let n_properties = 2 * usize::from(has(Synthetic::Properties));
    // PT_DYNAMIC, PT_NOTE, PT_GNU_RELRO and PT_GNU_STACK are always there.
    n_segments + 4 + usize::from(has_tls) + usize::from(has_unwind) + n_properties
}

fn write_program_headers(out: &mut [u8], layout: &Layout<'_>) {
    let rw = elf::PF_R.0 | elf::PF_W.0;
    let mut headers = Vec::with_capacity(layout.n_program_headers);
    let mut push = |p_type, flags: u32, memory: Range<u64>, file: Range<u64>, align: u64| {
        headers.push(ProgramHeader64::<LE> {
            p_type: U32::new(LE, p_type),
            p_flags: U32::new(LE, elf::ProgramFlags(flags)),
            p_offset: U64::new(LE, file.start),
            p_vaddr: U64::new(LE, memory.start),
            p_paddr: U64::new(LE, memory.start),
            p_filesz: U64::new(LE, file.end - file.start),
            p_memsz: U64::new(LE, memory.end - memory.start),
            p_align: U64::new(LE, align),
        });
    };
    for segment in &layout.segments {
        let flags = match segment.kind {
            SegmentKind::ReadOnly => elf::PF_R.0,
            SegmentKind::Text => elf::PF_R.0 | elf::PF_X.0,
            SegmentKind::Relro | SegmentKind::Data => rw,
        };
        push(
            elf::PT_LOAD,
            flags,
            segment.memory.clone(),
            segment.file.clone(),
            segment.align,
        );
    }
    let mut push_section = |p_type, flags, synthetic| {
        if let Some(section) = layout.synthetic(synthetic) {
            let memory = section.address..section.address + section.size;
            let file = section.file_offset..section.file_offset + section.size;
            push(p_type, flags, memory, file, section.align);
        }
    };
    push_section(elf::PT_DYNAMIC, rw, Synthetic::Dynamic);
    push_section(elf::PT_GNU_EH_FRAME, elf::PF_R.0, Synthetic::UnwindHeader);
    // Apart from the other notes, because the alignment of a segment is that of its notes.
    push_section(elf::PT_NOTE, elf::PF_R.0, Synthetic::Properties);
    push_section(elf::PT_GNU_PROPERTY, elf::PF_R.0, Synthetic::Properties);
    push_section(elf::PT_NOTE, elf::PF_R.0, Synthetic::Notes);
    if let Some(tls) = &layout.tls {
        push(
            elf::PT_TLS,
            elf::PF_R.0,
            tls.memory.clone(),
            tls.file.clone(),
            tls.align,
        );
    }
    if let Some(relro) = layout
        .segments
        .iter()
        .find(|segment| segment.kind == SegmentKind::Relro)
    {
        push(
            elf::PT_GNU_RELRO,
            elf::PF_R.0,
            relro.memory.clone(),
            relro.file.clone(),
            1,
        );
    }
    push(elf::PT_GNU_STACK, rw, 0..0, 0..0, 16);
    assert_eq!(
        headers.len(),
        layout.n_program_headers,
        "the headers have the room laid out for them"
    );
    let mut at = usize::try_from(FILE_HEADER_SIZE).expect("64 fits");
    for header in &headers {
        let bytes = bytes_of(header);
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    }
}

/// No less than what [`append_sections`] appends, in bytes.
pub(crate) fn sections_size(layout: &Layout<'_>, unloaded: &[Unloaded]) -> usize {
    let loaded = layout.sections.iter().map(|section| section.name.len());
    let size_of_unloaded = |section: &Unloaded| {
        // Padding before it.
        let align = usize::try_from(section.align).unwrap_or(1);
        section.name.len() + section.bytes.len() + align
    };
    let n_headers = layout.sections.len() + unloaded.len() + 2;
    // The end of each name, the names' own name and the padding of the table.
    let others = n_headers + b"\0.shstrtab\0".len() + 8;
    loaded.sum::<usize>()
        + unloaded.iter().map(size_of_unloaded).sum::<usize>()
        + n_headers * size_of::<SectionHeader64<LE>>()
        + others
}

/// Appends the sections that are not loaded, the section header table and its names; gives where the
/// table is and how many headers it has.
///
/// `offset` says where in the file the bytes of a section that is loaded are, if they are in this file.
pub(crate) fn append_sections(
    out: &mut Vec<u8>,
    layout: &Layout<'_>,
    unloaded: &[Unloaded],
    offset: impl Fn(&OutputSection<'_>) -> Option<u64>,
) -> (u64, usize) {
    let mut names = vec![0];
    let mut null = section_header(0, elf::SHT_NULL, 0, 0, 0, 0);
    null.sh_addralign = U64::new(LE, 0);
    let mut headers = vec![null];
    let index_of = |synthetic| {
        let content = Content::Synthetic(synthetic);
        let found = layout
            .sections
            .iter()
            .position(|section| section.content == content);
        to_u32(found.map_or(0, |index| index + 1))
    };
    for section in &layout.sections {
        let name = to_u32(names.len());
        names.extend_from_slice(section.name);
        names.push(0);
        let offset = offset(section);
        let mut header = section_header(
            name,
            offset.map_or(elf::SHT_NOBITS, |_| section.section_type),
            section.flags,
            section.address,
            offset.unwrap_or(0),
            section.size,
        );
        header.sh_addralign = U64::new(LE, section.align);
        header.sh_entsize = U64::new(LE, section.entry_size);
        let link = match section.content {
            Content::Synthetic(Synthetic::DynamicSymbols | Synthetic::Dynamic) => {
                index_of(Synthetic::DynamicStrings)
            }
            Content::Synthetic(Synthetic::GnuHash | Synthetic::Relocations) => {
                index_of(Synthetic::DynamicSymbols)
            }
            _ => 0,
        };
        header.sh_link = U32::new(LE, link);
        if section.content == Content::Synthetic(Synthetic::DynamicSymbols) {
            // The index of the first symbol that is not local: all but the empty one.
            header.sh_info = U32::new(LE, 1);
        }
        headers.push(header);
    }
    for section in unloaded {
        let name = to_u32(names.len());
        names.extend_from_slice(&section.name);
        names.push(0);
        let align = usize::try_from(section.align).unwrap_or(1);
        out.resize(out.len().next_multiple_of(align), 0);
        let mut header = section_header(
            name,
            section.section_type,
            section.flags,
            0,
            out.len() as u64,
            section.bytes.len() as u64,
        );
        header.sh_addralign = U64::new(LE, section.align);
        header.sh_entsize = U64::new(LE, section.entry_size);
        header.sh_info = U32::new(LE, section.info);
        if section.links_to_next {
            header.sh_link = U32::new(LE, to_u32(headers.len() + 1));
        }
        headers.push(header);
        out.extend_from_slice(&section.bytes);
    }
    let names_name = to_u32(names.len());
    names.extend_from_slice(b".shstrtab\0");
    let names_offset = out.len() as u64;
    let names_size = names.len() as u64;
    headers.push(section_header(
        names_name,
        elf::SHT_STRTAB,
        0,
        0,
        names_offset,
        names_size,
    ));
    // gABI, "ELF Header": e_shnum and e_shstrndx.
    if headers.len() >= usize::from(elf::SHN_LORESERVE) {
        headers[0].sh_size = U64::new(LE, headers.len() as u64);
        headers[0].sh_link = U32::new(LE, to_u32(headers.len() - 1));
    }
    out.extend_from_slice(&names);
    out.resize(out.len().next_multiple_of(8), 0);
    let headers_offset = out.len() as u64;
    headers
        .iter()
        .for_each(|header| out.extend_from_slice(bytes_of(header)));
    (headers_offset, headers.len())
}

fn write_file_header(
    out: &mut [u8],
    machine: Machine,
    os_abi: elf::OsAbi,
    layout: &Layout<'_>,
    headers_offset: u64,
    n_sections: usize,
) {
    let mut header = FileHeader64::<LE> {
        e_ident: elf::Ident {
            magic: elf::ELFMAG,
            class: elf::ELFCLASS64,
            data: elf::ELFDATA2LSB,
            version: elf::EV_CURRENT,
            os_abi,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(LE, elf::ET_DYN),
        e_machine: U16::new(LE, elf::Machine(machine.e_machine())),
        e_version: U32::new(LE, u32::from(elf::EV_CURRENT.0)),
        e_entry: U64::new(LE, 0),
        e_phoff: U64::new(LE, FILE_HEADER_SIZE),
        e_shoff: U64::new(LE, 0),
        e_flags: U32::new(LE, elf::FileFlags(0)),
        e_ehsize: U16::new(LE, to_u16(size_of::<FileHeader64<LE>>())),
        e_phentsize: U16::new(LE, to_u16(size_of::<ProgramHeader64<LE>>())),
        e_phnum: U16::new(LE, to_u16(layout.n_program_headers)),
        e_shentsize: U16::new(LE, to_u16(size_of::<SectionHeader64<LE>>())),
        e_shnum: U16::new(LE, 0),
        e_shstrndx: U16::new(LE, elf::SHN_UNDEF),
    };
    set_section_table(&mut header, headers_offset, n_sections);
    let bytes = bytes_of(&header);
    out[..bytes.len()].copy_from_slice(bytes);
}

/// Says where the section headers are and how many, of which the last is that of their names. Numbers that have no
/// room there are in the first of them: see [`append_sections`].
pub(crate) fn set_section_table(header: &mut FileHeader64<LE>, offset: u64, n_sections: usize) {
    let has_room = n_sections < usize::from(elf::SHN_LORESERVE);
    header.e_shoff = U64::new(LE, offset);
    header.e_shnum = U16::new(LE, if has_room { to_u16(n_sections) } else { 0 });
    header.e_shstrndx = U16::new(LE, elf::SymbolSection::new(to_u32(n_sections - 1)));
}

fn section_header(
    name: u32,
    section_type: elf::SectionType,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
) -> SectionHeader64<LE> {
    SectionHeader64 {
        sh_name: U32::new(LE, name),
        sh_type: U32::new(LE, section_type),
        sh_flags: U64::new(LE, elf::SectionFlags(flags)),
        sh_addr: U64::new(LE, address),
        sh_offset: U64::new(LE, offset),
        sh_size: U64::new(LE, size),
        sh_link: U32::new(LE, 0),
        sh_info: U32::new(LE, 0),
        sh_addralign: U64::new(LE, 1),
        sh_entsize: U64::new(LE, 0),
    }
}

fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn to_u16(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
