//! Writing the image: headers, the inputs' bytes, the tables, and last the digest.

use std::ops::Range;

use farcall_image::{DIGEST_SIZE, Digest};
use object::elf::{self, Dyn64, FileHeader64, ProgramHeader64, Rela64, SectionHeader64, Sym64};
use object::endian::{I64, LittleEndian as LE, U16, U32, U64};
use object::pod::bytes_of;

use crate::apply::{Context, Run};
use crate::error::{Error, Errors, Result};
use crate::input::{Binding, PC_BEGIN, SymbolType, Visibility};
use crate::layout::{
    FILE_HEADER_SIZE, Layout, NOTE_HEADER_SIZE, OutputSegment, encode_relr, relative_words,
};
use crate::output::{Content, OutputSection, Piece, SegmentKind, Synthetic};
use crate::resolve::{Definition, Resolved, Target};
use crate::scan::{Scanned, section_relocations};
use crate::synthetic::{Addend, GotWord, UnwindTable, got_words, sorted};
use crate::types::note;

pub(crate) fn write(
    resolved: &Resolved<'_>,
    scanned: &Scanned,
    layout: &Layout<'_>,
) -> Result<Vec<u8>, Errors> {
    let mut writer = Writer {
        resolved,
        scanned,
        layout,
        context: Context::new(resolved, scanned, layout),
        out: vec![0; to_usize(layout.file_size)?],
        functions: Vec::with_capacity(scanned.unwind.n_fdes),
        errors: Vec::new(),
    };
    writer.write_pieces()?;
    Errors::check(std::mem::take(&mut writer.errors))?;
    writer.write_synthetic()?;
    writer.write_headers();
    writer.write_section_headers();
    writer.write_digest();
    Ok(writer.out)
}

/// The number of program headers that an image with these sections has.
pub(crate) fn n_program_headers(sections: &[OutputSection<'_>]) -> usize {
    let n_segments = SegmentKind::ALL
        .into_iter()
        .filter(|&kind| sections.iter().any(|section| section.segment == kind))
        .count();
    let has_tls = sections.iter().any(OutputSection::is_tls);
    let has_unwind = sections
        .iter()
        .any(|section| section.content == Content::Synthetic(Synthetic::UnwindHeader));
    // PT_DYNAMIC, PT_NOTE, PT_GNU_RELRO and PT_GNU_STACK are always there.
    n_segments + 4 + usize::from(has_tls) + usize::from(has_unwind)
}

/// The number of entries of the dynamic table of an image with these sections.
pub(crate) fn n_dynamic_entries(sections: &[OutputSection<'_>]) -> usize {
    let count = |section: &OutputSection<'_>| match (&section.content, section.section_type) {
        (Content::Synthetic(Synthetic::Relocations | Synthetic::RelativeRelocations), _) => 3,
        (Content::Pieces(_), elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY) => 2,
        _ => 0,
    };
    // Hash, strings (2), symbols (2), flags (2) and the end.
    8 + sections.iter().map(count).sum::<usize>()
}

struct Writer<'a, 'data> {
    resolved: &'a Resolved<'data>,
    scanned: &'a Scanned,
    layout: &'a Layout<'data>,
    context: Context<'a, 'data>,
    out: Vec<u8>,
    /// Functions with unwind records: their addresses and those of their FDEs.
    functions: Vec<(u64, u64)>,
    errors: Vec<Error>,
}

impl Writer<'_, '_> {
    /// Copies the inputs' sections and applies their relocations.
    fn write_pieces(&mut self) -> Result<()> {
        let layout = self.layout;
        for segment in layout
            .segments
            .iter()
            .filter(|segment| segment.kind == SegmentKind::Text)
        {
            let file = to_range(segment.file.clone())?;
            self.out[file].fill(self.resolved.machine.code_fill());
        }
        for section in &layout.sections {
            let Content::Pieces(pieces) = &section.content else {
                continue;
            };
            if section.is_nobits() {
                continue;
            }
            for &(piece, offset) in pieces {
                let (start, address) = (section.file_offset + offset, section.address + offset);
                match piece {
                    Piece::Section { object, section } => {
                        self.write_section(object, section, start, address)?;
                    }
                    Piece::Unwind(index) => self.write_unwind(index, start, address)?,
                    Piece::Thunks(island) => self.write_thunks(island, start, address)?,
                    Piece::Common(_) | Piece::UnwindTerminator => {}
                }
            }
        }
        Ok(())
    }

    fn write_section(
        &mut self,
        object: usize,
        section: usize,
        start: u64,
        address: u64,
    ) -> Result<()> {
        let input = &self.resolved.objects[object].sections[section];
        if input.is_nobits() {
            return Ok(());
        }
        let out = &mut self.out[to_range(start..start + input.data.len() as u64)?];
        out.copy_from_slice(&input.data);
        let run = Run {
            object,
            section,
            start: 0,
            address,
        };
        if let Err(error) = self.context.apply(run, out, &input.relocations) {
            self.errors.push(error);
        }
        Ok(())
    }

    fn write_thunks(&mut self, island: usize, start: u64, address: u64) -> Result<()> {
        let machine = self.resolved.machine;
        let out = to_range(start..start + self.layout.thunks.size(island))?;
        let destinations = self.layout.thunks.destinations(island);
        let size = machine.thunk().map_or(1, |thunk| thunk.size);
        let thunks = self.out[out].chunks_exact_mut(to_usize(size)?);
        for ((out, &destination), index) in thunks.zip(destinations).zip(0..) {
            let destination = self.context.destination(destination);
            if !machine.write_thunk(out, address + size * index, destination) {
                return Err(Error::TooLarge);
            }
        }
        Ok(())
    }

    /// Copies the kept records of an unwind section, which moves them closer to their CIEs.
    fn write_unwind(&mut self, index: usize, start: u64, address: u64) -> Result<()> {
        let unwind = &self.scanned.unwind.sections[index];
        let input = &self.resolved.objects[unwind.object].sections[unwind.section];
        let relocations = sorted(&input.relocations);
        for record in &unwind.records {
            let record_address = address + record.output as u64;
            let record_start = start + record.output as u64;
            let out =
                &mut self.out[to_range(record_start..record_start + record.input.len() as u64)?];
            out.copy_from_slice(&input.data[record.input.clone()]);
            let relocations = section_relocations(&relocations, &record.input);
            let run = Run {
                object: unwind.object,
                section: unwind.section,
                start: record.input.start as u64,
                address: record_address,
            };
            if let Some(cie) = record.cie {
                let back = u32::try_from(record.output + 4 - cie).map_err(|_| Error::TooLarge)?;
                out[4..8].copy_from_slice(&back.to_le_bytes());
                let begin = (record.input.start + PC_BEGIN) as u64;
                if let Some(entry) = relocations
                    .iter()
                    .find(|entry| entry.r_offset.get(LE) == begin)
                {
                    let target = self
                        .resolved
                        .target(unwind.object, entry.r_sym(LE, false) as usize);
                    let function = self.layout.target_address(self.resolved, target);
                    let function = function.wrapping_add_signed(entry.r_addend.get(LE));
                    self.functions.push((function, record_address));
                }
            }
            if let Err(error) = self.context.apply(run, out, relocations) {
                self.errors.push(error);
            }
        }
        Ok(())
    }

    fn write_synthetic(&mut self) -> Result<()> {
        let layout = self.layout;
        for section in &layout.sections {
            let Content::Synthetic(synthetic) = section.content else {
                continue;
            };
            let bytes = match synthetic {
                Synthetic::BuildId => note(b"GNU\0", elf::NT_GNU_BUILD_ID.0, &[0; DIGEST_SIZE]),
                Synthetic::Manifest => layout.manifest.clone(),
                Synthetic::DynamicSymbols => self.dynamic_symbols(),
                Synthetic::GnuHash => layout.dynamic_symbols.hash.clone(),
                Synthetic::DynamicStrings => layout.dynamic_symbols.strings.clone(),
                Synthetic::Relocations => self.relocations(),
                Synthetic::RelativeRelocations => {
                    let (relative, _) = relative_words(layout, self.resolved, self.scanned);
                    let words = relative.iter().flat_map(|addresses| encode_relr(addresses));
                    words.flat_map(u64::to_le_bytes).collect()
                }
                Synthetic::UnwindHeader => {
                    let eh_frame = layout
                        .sections
                        .iter()
                        .find(|section| section.name == b".eh_frame");
                    let eh_frame = eh_frame.map_or(0, |section| section.address);
                    UnwindTable::header(section.address, eh_frame, &mut self.functions)
                        .ok_or(Error::TooLarge)?
                }
                Synthetic::Plt => self.plt(section.address)?,
                Synthetic::Dynamic => self.dynamic(),
                Synthetic::Got => self.got(),
            };
            let start = to_usize(section.file_offset)?;
            assert_eq!(
                bytes.len() as u64,
                section.size,
                "{synthetic:?} has the size that it was laid out with"
            );
            self.out[start..start + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn dynamic_symbols(&self) -> Vec<u8> {
        let symbols = &self.layout.dynamic_symbols;
        let mut bytes = vec![0; size_of::<Sym64<LE>>()];
        for (&id, &name) in symbols.order.iter().zip(&symbols.names) {
            let global = &self.resolved.globals[id];
            let mut symbol = Sym64::<LE> {
                st_name: U32::new(LE, name),
                ..Sym64::default()
            };
            if let Some(definition) = self.resolved.defining_symbol(id) {
                let target = self.resolved.global_target(id);
                let mut address = self.layout.target_address(self.resolved, target);
                let is_tls = definition.symbol_type == SymbolType::Tls;
                let section = match target {
                    Target::Absolute(_) => elf::SHN_ABS,
                    _ => {
                        let index = self.layout.section_header_index(address, is_tls);
                        elf::SymbolSection(u16::try_from(index).unwrap_or(u16::MAX))
                    }
                };
                if is_tls {
                    address -= self.layout.tls.as_ref().map_or(0, |tls| tls.memory.start);
                }
                let size = match global.definition {
                    Definition::Symbol { object, symbol } => self.resolved.size(object, symbol),
                    _ => 0,
                };
                // What an assembler's `.size` says past the end is not the symbol's.
                let size = match target {
                    Target::Section {
                        object, section, ..
                    } => {
                        let section = &self.resolved.objects[object].sections[section];
                        size.min(section.size.saturating_sub(definition.value))
                    }
                    _ => size,
                };
                symbol.st_shndx = U16::new(LE, section);
                symbol.st_value = U64::new(LE, address);
                symbol.st_size = U64::new(LE, size);
                let is_weak = definition.binding == Binding::Weak;
                let binding = if is_weak {
                    elf::STB_WEAK
                } else {
                    elf::STB_GLOBAL
                };
                symbol.set_st_info(binding, elf_type(definition.symbol_type));
                if global.visibility == Visibility::Protected {
                    symbol.st_other = elf::SymbolOther(elf::STV_PROTECTED.0);
                }
            } else {
                let binding = if global.is_needed {
                    elf::STB_GLOBAL
                } else {
                    elf::STB_WEAK
                };
                let is_tls = self.scanned.global_slots(id).is_tls();
                symbol.set_st_info(
                    binding,
                    if is_tls {
                        elf::STT_TLS
                    } else {
                        elf::STT_NOTYPE
                    },
                );
            }
            bytes.extend_from_slice(bytes_of(&symbol));
        }
        bytes
    }

    fn relocations(&self) -> Vec<u8> {
        let types = self.resolved.machine.dynamic_types();
        let mut bytes = Vec::new();
        let mut push = |place: u64, symbol: u32, r_type: u32, addend: i64| {
            let relocation = Rela64::<LE> {
                r_offset: U64::new(LE, place),
                r_info: U64::new(LE, u64::from(symbol) << 32 | u64::from(r_type)),
                r_addend: I64::new(LE, addend),
            };
            bytes.extend_from_slice(bytes_of(&relocation));
        };
        let (_, unaligned) = relative_words(self.layout, self.resolved, self.scanned);
        for word in unaligned {
            let address = self.layout.word_address(word);
            push(address, 0, types.relative, self.word_at(address));
        }
        let index = |id| self.layout.dynamic_symbols.index(id);
        for &(word, id, addend) in &self.scanned.symbolic {
            push(
                self.layout.word_address(word),
                index(id),
                types.absolute,
                addend,
            );
        }
        for (place, word) in self.got_words() {
            if let GotWord::Dynamic {
                r_type,
                import,
                addend,
            } = word
            {
                let addend = match addend {
                    Addend::Zero => 0,
                    Addend::Address(target) => self.address(target),
                    Addend::BlockOffset(target) => self.block_offset(target),
                };
                push(place, import.map_or(0, index), r_type, addend.cast_signed());
            }
        }
        // Last, because the functions that they call may use everything else.
        for &(word, symbol) in &self.scanned.indirect {
            let resolver = self.address(self.resolved.target(word.object, symbol));
            let place = self.layout.word_address(word);
            push(place, 0, types.indirect_relative, resolver.cast_signed());
        }
        bytes
    }

    /// The words of the GOT with their addresses, in the order of their entries.
    fn got_words(&self) -> impl Iterator<Item = (u64, GotWord)> {
        let got = self.layout.synthetic_address(Synthetic::Got);
        let types = self.resolved.machine.dynamic_types();
        self.scanned.got.iter().flat_map(move |entry| {
            let place = got + 8 * entry.word as u64;
            let (first, second) = got_words(self.resolved, types, entry);
            [
                Some((place, first)),
                second.map(|second| (place + 8, second)),
            ]
            .into_iter()
            .flatten()
        })
    }

    fn address(&self, target: Target) -> u64 {
        self.layout.target_address(self.resolved, target)
    }

    /// Where a thread-local variable is in the image's TLS block.
    fn block_offset(&self, target: Target) -> u64 {
        let start = self.layout.tls.as_ref().map_or(0, |tls| tls.memory.start);
        self.address(target).wrapping_sub(start)
    }

    /// The word at an address, where its relocation has been applied already.
    fn word_at(&self, address: u64) -> i64 {
        let holds = |segment: &&OutputSegment| segment.memory.contains(&address);
        let segment = self.layout.segments.iter().find(holds);
        let offset = segment.map(|segment| segment.file.start + (address - segment.memory.start));
        let word = offset
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| self.out.get(offset..)?.first_chunk());
        i64::from_le_bytes(*word.expect("a word with a relocation has bytes in the file"))
    }

    fn got(&self) -> Vec<u8> {
        let value = |(_, word)| match word {
            GotWord::Zero | GotWord::Dynamic { .. } => 0,
            GotWord::Number(target) | GotWord::Relative(target) => self.address(target),
            GotWord::BlockOffset(target) => self.block_offset(target),
        };
        self.got_words()
            .map(value)
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    fn plt(&self, address: u64) -> Result<Vec<u8>> {
        let machine = self.resolved.machine;
        let entry_size = machine.plt_entry_size();
        let got = self.layout.synthetic_address(Synthetic::Got);
        let mut bytes = vec![0; to_usize(entry_size * self.scanned.plt.len() as u64)?];
        let entries = bytes.chunks_exact_mut(to_usize(entry_size)?);
        for ((entry, &word), index) in entries.zip(&self.scanned.plt).zip(0..) {
            let got_entry = got + 8 * word as u64;
            if !machine.write_plt_entry(entry, address + entry_size * index, got_entry) {
                return Err(Error::TooLarge);
            }
        }
        Ok(bytes)
    }

    fn dynamic(&self) -> Vec<u8> {
        let layout = self.layout;
        let mut entries: Vec<(elf::DynamicTag, u64)> = Vec::new();
        let table = |synthetic| {
            layout
                .synthetic(synthetic)
                .map_or((0, 0), |section| (section.address, section.size))
        };
        entries.push((elf::DT_GNU_HASH, table(Synthetic::GnuHash).0));
        entries.push((elf::DT_STRTAB, table(Synthetic::DynamicStrings).0));
        entries.push((elf::DT_STRSZ, table(Synthetic::DynamicStrings).1));
        entries.push((elf::DT_SYMTAB, table(Synthetic::DynamicSymbols).0));
        entries.push((elf::DT_SYMENT, size_of::<Sym64<LE>>() as u64));
        if let (address, size @ 1..) = table(Synthetic::Relocations) {
            entries.push((elf::DT_RELA, address));
            entries.push((elf::DT_RELASZ, size));
            entries.push((elf::DT_RELAENT, size_of::<Rela64<LE>>() as u64));
        }
        if let (address, size @ 1..) = table(Synthetic::RelativeRelocations) {
            entries.push((elf::DT_RELR, address));
            entries.push((elf::DT_RELRSZ, size));
            entries.push((elf::DT_RELRENT, 8));
        }
        for section in &layout.sections {
            let (start, size) = match section.section_type {
                elf::SHT_INIT_ARRAY => (elf::DT_INIT_ARRAY, elf::DT_INIT_ARRAYSZ),
                elf::SHT_FINI_ARRAY => (elf::DT_FINI_ARRAY, elf::DT_FINI_ARRAYSZ),
                _ => continue,
            };
            entries.push((start, section.address));
            entries.push((size, section.size));
        }
        entries.push((elf::DT_FLAGS, elf::DF_BIND_NOW.0));
        entries.push((elf::DT_FLAGS_1, elf::DF_1_NOW.0));
        entries.push((elf::DT_NULL, 0));
        let entry = |(tag, value)| Dyn64::<LE> {
            d_tag: I64::new(LE, tag),
            d_val: U64::new(LE, value),
        };
        entries
            .into_iter()
            .map(entry)
            .flat_map(|entry| bytes_of(&entry).to_vec())
            .collect()
    }

    fn write_headers(&mut self) {
        let layout = self.layout;
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
        let (build_id, manifest) = (
            layout.synthetic(Synthetic::BuildId),
            layout.synthetic(Synthetic::Manifest),
        );
        if let (Some(first), Some(last)) = (build_id, manifest) {
            let range = first.address..last.address + last.size;
            push(elf::PT_NOTE, elf::PF_R.0, range.clone(), range, 4);
        }
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
            self.out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        }
    }

    /// Appends the section header table and its names, and writes the file header.
    fn write_section_headers(&mut self) {
        let mut names = vec![0];
        let mut null = section_header(0, elf::SHT_NULL, 0, 0, 0, 0);
        null.sh_addralign = U64::new(LE, 0);
        let mut headers = vec![null];
        let index_of = |synthetic| {
            let content = Content::Synthetic(synthetic);
            let found = self
                .layout
                .sections
                .iter()
                .position(|section| section.content == content);
            to_u32(found.map_or(0, |index| index + 1))
        };
        for section in &self.layout.sections {
            let name = to_u32(names.len());
            names.extend_from_slice(section.name);
            names.push(0);
            let mut header = section_header(
                name,
                section.section_type,
                section.flags,
                section.address,
                section.file_offset,
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
        let names_name = to_u32(names.len());
        names.extend_from_slice(b".shstrtab\0");
        let names_offset = self.out.len() as u64;
        let names_size = names.len() as u64;
        headers.push(section_header(
            names_name,
            elf::SHT_STRTAB,
            0,
            0,
            names_offset,
            names_size,
        ));
        self.out.extend_from_slice(&names);
        self.out.resize(self.out.len().next_multiple_of(8), 0);
        let headers_offset = self.out.len() as u64;
        headers
            .iter()
            .for_each(|header| self.out.extend_from_slice(bytes_of(header)));
        self.write_file_header(headers_offset, headers.len());
    }

    fn write_file_header(&mut self, headers_offset: u64, n_sections: usize) {
        let to_u16 = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
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
            e_type: U16::new(LE, elf::ET_DYN),
            e_machine: U16::new(LE, elf::Machine(self.resolved.machine.e_machine())),
            e_version: U32::new(LE, u32::from(elf::EV_CURRENT.0)),
            e_entry: U64::new(LE, 0),
            e_phoff: U64::new(LE, FILE_HEADER_SIZE),
            e_shoff: U64::new(LE, headers_offset),
            e_flags: U32::new(LE, elf::FileFlags(0)),
            e_ehsize: U16::new(LE, to_u16(size_of::<FileHeader64<LE>>())),
            e_phentsize: U16::new(LE, to_u16(size_of::<ProgramHeader64<LE>>())),
            e_phnum: U16::new(LE, to_u16(self.layout.n_program_headers)),
            e_shentsize: U16::new(LE, to_u16(size_of::<SectionHeader64<LE>>())),
            e_shnum: U16::new(LE, to_u16(n_sections)),
            e_shstrndx: U16::new(LE, elf::SymbolSection(to_u16(n_sections - 1))),
        };
        let bytes = bytes_of(&header);
        self.out[..bytes.len()].copy_from_slice(bytes);
    }

    /// The digest of the whole file, written where it counts as zero.
    fn write_digest(&mut self) {
        let note = self
            .layout
            .synthetic(Synthetic::BuildId)
            .map_or(0, |section| section.file_offset);
        let hole = usize::try_from(note + NOTE_HEADER_SIZE + 4).expect("it is in the file");
        let digest = Digest::of_with_hole(&self.out, hole).expect("it is in the file");
        self.out[hole..hole + DIGEST_SIZE].copy_from_slice(digest.as_bytes());
    }
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

fn elf_type(symbol_type: SymbolType) -> elf::SymbolType {
    match symbol_type {
        SymbolType::Object => elf::STT_OBJECT,
        SymbolType::Function => elf::STT_FUNC,
        SymbolType::Tls => elf::STT_TLS,
        SymbolType::IndirectFunction => elf::STT_GNU_IFUNC,
        SymbolType::None | SymbolType::Section | SymbolType::File => elf::STT_NOTYPE,
    }
}

/// Sizes were limited when they were laid out, so this fails on a small host only.
fn to_usize(value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| Error::TooLarge)
}

fn to_range(range: Range<u64>) -> Result<Range<usize>> {
    Ok(to_usize(range.start)?..to_usize(range.end)?)
}

fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
