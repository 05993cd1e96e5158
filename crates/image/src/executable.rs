//! Placed bytes as an ELF executable, for the tools that read such.

use farcall_arch::Machine;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64, SymbolSection};
use object::endian::{LittleEndian as LE, U16, U32, U64};
use object::pod::{bytes_of, from_bytes};

use crate::SymbolKind;

/// A segment at its final address.
#[derive(Debug, Clone, Copy)]
pub struct PlacedSegment<'a> {
    /// Its first address.
    pub address: u64,
    /// Its bytes, all of them.
    pub bytes: &'a [u8],
    /// How many of them the image has in its file; the others are zero unless placing has changed them.
    pub file_size: usize,
    /// Whether it is to be writable when code runs.
    pub writable: bool,
    /// Whether it is to be executable.
    pub executable: bool,
}

/// A symbol at its final address.
#[derive(Debug, Clone, Copy)]
pub struct PlacedSymbol<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its address; for a thread-local variable its offset in the block.
    pub address: u64,
    /// Its size in bytes, 0 when unknown.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Whether it is defined elsewhere.
    pub is_import: bool,
}

/// An `ET_EXEC` file of the segments, a section for each and one for its zeroes, and the symbols. Its entry is the symbol
/// `_start`, else `main`, else 0.
#[must_use]
pub fn executable(
    machine: Machine,
    segments: &[PlacedSegment<'_>],
    symbols: &[PlacedSymbol<'_>],
) -> Vec<u8> {
    let header_size = size_of::<FileHeader64<LE>>();
    let table_size = segments.len() * size_of::<ProgramHeader64<LE>>();
    let page = usize::try_from(machine.max_page_size()).unwrap_or(usize::MAX);
    let mut out = vec![0; header_size + table_size];
    let mut names = vec![0];
    let mut program_headers = Vec::new();
    let mut sections = vec![empty_section()];
    for segment in segments {
        // Zeros at the end need no bytes in the file.
        let last = segment.bytes.iter().rposition(|&byte| byte != 0);
        let size = last.map_or(0, |last| last + 1).max(segment.file_size);
        // A segment at a fixed address is mapped by pages, whatever it is aligned to.
        let within = usize::try_from(segment.address % page as u64).unwrap_or(0);
        out.resize(out.len().next_multiple_of(page) + within, 0);
        let offset = out.len() as u64;
        out.extend_from_slice(&segment.bytes[..size]);
        let (name, flags): (&[u8], _) = match (segment.executable, segment.writable) {
            (true, _) => (b".text\0", elf::PF_R.0 | elf::PF_X.0),
            (_, true) => (b".data\0", elf::PF_R.0 | elf::PF_W.0),
            _ => (b".rodata\0", elf::PF_R.0),
        };
        program_headers.push(ProgramHeader64::<LE> {
            p_type: U32::new(LE, elf::PT_LOAD),
            p_flags: U32::new(LE, elf::ProgramFlags(flags)),
            p_offset: U64::new(LE, offset),
            p_vaddr: U64::new(LE, segment.address),
            p_paddr: U64::new(LE, segment.address),
            p_filesz: U64::new(LE, size as u64),
            p_memsz: U64::new(LE, segment.bytes.len() as u64),
            p_align: U64::new(LE, page as u64),
        });
        let section_flags = elf::SHF_ALLOC.0
            | if segment.writable {
                elf::SHF_WRITE.0
            } else {
                0
            }
            | if segment.executable {
                elf::SHF_EXECINSTR.0
            } else {
                0
            };
        sections.push(SectionHeader64 {
            sh_flags: U64::new(LE, elf::SectionFlags(section_flags)),
            sh_addr: U64::new(LE, segment.address),
            ..section(&mut names, name, elf::SHT_PROGBITS, offset, size)
        });
        let n_zeroes = segment.bytes.len() - size;
        if n_zeroes > 0 {
            sections.push(SectionHeader64 {
                sh_flags: U64::new(LE, elf::SectionFlags(section_flags)),
                sh_addr: U64::new(LE, segment.address + size as u64),
                ..section(
                    &mut names,
                    if segment.writable {
                        b".bss\0"
                    } else {
                        b".bss.rel.ro\0"
                    },
                    elf::SHT_NOBITS,
                    offset + size as u64,
                    n_zeroes,
                )
            });
        }
    }

    let (table, strings) = symbol_table(&sections, symbols);
    let offset = out.len() as u64;
    out.extend_from_slice(&table);
    let strings_index = to_u32(sections.len() + 1);
    sections.push(SectionHeader64 {
        sh_link: U32::new(LE, strings_index),
        sh_info: U32::new(LE, 1),
        sh_entsize: U64::new(LE, size_of::<Sym64<LE>>() as u64),
        ..section(
            &mut names,
            b".symtab\0",
            elf::SHT_SYMTAB,
            offset,
            table.len(),
        )
    });
    let offset = out.len() as u64;
    out.extend_from_slice(&strings);
    sections.push(section(
        &mut names,
        b".strtab\0",
        elf::SHT_STRTAB,
        offset,
        strings.len(),
    ));
    let offset = out.len() as u64;
    let mut last = section(&mut names, b".shstrtab\0", elf::SHT_STRTAB, offset, 0);
    last.sh_size = U64::new(LE, names.len() as u64);
    sections.push(last);
    out.extend_from_slice(&names);
    out.resize(out.len().next_multiple_of(8), 0);
    let sections_offset = out.len() as u64;
    sections
        .iter()
        .for_each(|section| out.extend_from_slice(bytes_of(section)));

    let named = |name: &[u8]| {
        symbols
            .iter()
            .find(|each| !each.is_import && each.name == name)
    };
    let header = FileHeader64::<LE> {
        e_ident: elf::Ident {
            magic: elf::ELFMAG,
            class: elf::ELFCLASS64,
            data: elf::ELFDATA2LSB,
            version: elf::EV_CURRENT,
            os_abi: elf::ELFOSABI_SYSV,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(LE, elf::ET_EXEC),
        e_machine: U16::new(LE, elf::Machine(machine.e_machine())),
        e_version: U32::new(LE, u32::from(elf::EV_CURRENT.0)),
        e_entry: U64::new(
            LE,
            named(b"_start")
                .or(named(b"main"))
                .map_or(0, |each| each.address),
        ),
        e_phoff: U64::new(LE, header_size as u64),
        e_shoff: U64::new(LE, sections_offset),
        e_flags: U32::new(LE, elf::FileFlags(0)),
        e_ehsize: U16::new(LE, to_u16(header_size)),
        e_phentsize: U16::new(LE, to_u16(size_of::<ProgramHeader64<LE>>())),
        e_phnum: U16::new(LE, to_u16(segments.len())),
        e_shentsize: U16::new(LE, to_u16(size_of::<SectionHeader64<LE>>())),
        e_shnum: U16::new(LE, to_u16(sections.len())),
        e_shstrndx: U16::new(LE, SymbolSection(to_u16(sections.len() - 1))),
    };
    out[..header_size].copy_from_slice(bytes_of(&header));
    let headers = program_headers
        .iter()
        .map(bytes_of)
        .collect::<Vec<_>>()
        .concat();
    out[header_size..header_size + table_size].copy_from_slice(&headers);
    out
}

/// A section header; its name goes into the table of names.
fn section(
    names: &mut Vec<u8>,
    name: &[u8],
    section_type: elf::SectionType,
    offset: u64,
    size: usize,
) -> SectionHeader64<LE> {
    let at = to_u32(names.len());
    names.extend_from_slice(name);
    SectionHeader64 {
        sh_name: U32::new(LE, at),
        sh_type: U32::new(LE, section_type),
        sh_offset: U64::new(LE, offset),
        sh_size: U64::new(LE, size as u64),
        sh_addralign: U64::new(LE, 1),
        ..empty_section()
    }
}

/// The header of no section: all zero.
fn empty_section() -> SectionHeader64<LE> {
    const ZEROS: [u8; size_of::<SectionHeader64<LE>>()] = [0; size_of::<SectionHeader64<LE>>()];
    *from_bytes(&ZEROS).expect("the size is the header's").0
}

/// The symbol table and its strings.
fn symbol_table(
    sections: &[SectionHeader64<LE>],
    symbols: &[PlacedSymbol<'_>],
) -> (Vec<u8>, Vec<u8>) {
    let mut table = bytes_of(&Sym64::<LE>::default()).to_vec();
    let mut strings = vec![0];
    for symbol in symbols {
        let holds = |section: &SectionHeader64<LE>| {
            let distance = symbol.address.checked_sub(section.sh_addr.get(LE));
            distance.is_some_and(|distance| distance < section.sh_size.get(LE))
        };
        let section = sections
            .iter()
            .position(holds)
            .filter(|_| !symbol.is_import);
        let section = section.map_or(elf::SHN_ABS, |index| SymbolSection(to_u16(index)));
        let kind = match symbol.kind {
            SymbolKind::Function => elf::STT_FUNC,
            SymbolKind::Data => elf::STT_OBJECT,
            _ => elf::STT_NOTYPE,
        };
        let mut entry = Sym64::<LE> {
            st_name: U32::new(LE, to_u32(strings.len())),
            st_shndx: U16::new(LE, section),
            st_value: U64::new(LE, symbol.address),
            st_size: U64::new(LE, symbol.size),
            ..Sym64::default()
        };
        entry.set_st_info(elf::STB_GLOBAL, kind);
        table.extend_from_slice(bytes_of(&entry));
        strings.extend_from_slice(symbol.name);
        strings.push(0);
    }
    (table, strings)
}

fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn to_u16(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
