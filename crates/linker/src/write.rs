//! Writing the image: headers, the inputs' bytes, the tables, and last the digest.

use std::ops::Range;

use farcall_image::{DIGEST_SIZE, Digest};
use object::elf::{self, Dyn64, Rela64, Sym64};
use object::endian::{I64, LittleEndian as LE, U16, U32, U64};
use object::pod::bytes_of;

use crate::apply::{Context, Run};
use crate::debug::Unloaded;
use crate::error::{Error, Errors, Result};
use crate::headers;
use crate::input::{PC_BEGIN, SymbolType, Visibility};
use crate::layout::{Layout, NOTE_HEADER_SIZE, OutputSegment, encode_relr, relative_words};
use crate::output::{Content, OutputSection, Piece, SegmentKind, Synthetic};
use crate::properties::property_note;
use crate::resolve::{Definition, Resolved, Target};
use crate::scan::{Scanned, section_relocations};
use crate::synthetic::{Addend, GotWord, UnwindTable, got_words, sorted};
use crate::types::note;

pub(crate) fn write(
    resolved: &Resolved<'_>,
    scanned: &Scanned,
    layout: &Layout<'_>,
    unloaded: &[Unloaded],
) -> Result<Vec<u8>, Errors> {
    let mut writer = Writer {
        resolved,
        scanned,
        layout,
        context: Context::new(resolved, scanned, layout),
        out: zeroed_with_room(
            to_usize(layout.file_size)?,
            headers::sections_size(layout, unloaded),
        ),
        functions: Vec::with_capacity(scanned.unwind.n_fdes),
        errors: Vec::new(),
    };
    writer.write_pieces()?;
    Errors::check(std::mem::take(&mut writer.errors))?;
    writer.write_synthetic()?;
    let mut exports = layout.dynamic_symbols.order.iter();
    let has_indirect = exports.any(|&id| {
        let symbol = resolved.defining_symbol(id);
        symbol.is_some_and(|symbol| symbol.symbol_type == SymbolType::IndirectFunction)
    });
    headers::write(
        &mut writer.out,
        resolved.machine,
        layout,
        has_indirect,
        unloaded,
    );
    writer.write_digest();
    Ok(writer.out)
}

/// The number of entries of the dynamic table of an image with these sections.
pub(crate) fn n_dynamic_entries(sections: &[OutputSection<'_>]) -> usize {
    let count = |section: &OutputSection<'_>| match (&section.content, section.section_type) {
        (Content::Synthetic(Synthetic::Relocations | Synthetic::RelativeRelocations), _) => 3,
        (Content::Pieces(_), elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY) => 2,
        _ => 0,
    };
    // Hash, strings (2), symbols (2), flags and the end.
    7 + sections.iter().map(count).sum::<usize>()
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
        let relocations = sorted(self.resolved.machine, &input.relocations);
        for record in &unwind.records {
            let record_address = address + record.output();
            let record_start = start + record.output();
            let out =
                &mut self.out[to_range(record_start..record_start + record.input().len() as u64)?];
            out.copy_from_slice(&input.data[record.input()]);
            let relocations = section_relocations(&relocations, &record.input());
            let run = Run {
                object: unwind.object,
                section: unwind.section,
                start: record.input().start as u64,
                address: record_address,
            };
            if let Some(cie) = record.cie {
                let cie =
                    self.layout.unwind_addresses[cie.section as usize] + u64::from(cie.output);
                let back = u32::try_from(record_address + 4 - cie).map_err(|_| Error::TooLarge)?;
                out[4..8].copy_from_slice(&back.to_le_bytes());
                let begin = (record.input().start + PC_BEGIN) as u64;
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
                Synthetic::Properties => property_note(
                    self.resolved.machine,
                    &self.resolved.properties,
                    !layout.thunks.is_empty(),
                ),
                Synthetic::Notes => {
                    let build_id = note(b"GNU\0", elf::NT_GNU_BUILD_ID.0, &[0; DIGEST_SIZE]);
                    [build_id, layout.manifest.clone()].concat()
                }
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
        let mut bytes = Vec::with_capacity(size_of::<Sym64<LE>>() * symbols.len());
        bytes.extend_from_slice(bytes_of(&Sym64::<LE>::default()));
        let indices = self.layout.header_indices();
        let is_export = (0..symbols.order.len()).map(|at| at >= symbols.imports().len());
        for ((&id, &name), is_export) in symbols.order.iter().zip(&symbols.names).zip(is_export) {
            let global = &self.resolved.globals[id];
            let mut symbol = Sym64::<LE> {
                st_name: U32::new(LE, name),
                st_other: elf::SymbolOther(global.marks),
                ..Sym64::default()
            };
            let definition = self.resolved.defining_symbol(id);
            if let Some(definition) = definition.filter(|_| is_export) {
                let target = self.resolved.defined_target(id);
                let slots = self.scanned.global_slots(id);
                // To others an indirect function is where the image's own code sees it.
                let at_plt = slots.plt.filter(|_| slots.is_plt_address);
                let (mut address, symbol_type) = match at_plt {
                    Some(entry) => (self.plt_entry(entry), SymbolType::Function),
                    None => (self.address(target), definition.symbol_type),
                };
                let is_tls = definition.symbol_type == SymbolType::Tls;
                let section = match target {
                    Target::Absolute(_) => elf::SHN_ABS,
                    _ => {
                        // Loaders only ask whether there is a section, so larger indices are in no table.
                        elf::SymbolSection::new(indices.of(address, is_tls))
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
                    _ if at_plt.is_some() => self.resolved.plt_entry_size,
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
                let binding = if self.resolved.is_weak(id) {
                    elf::STB_WEAK
                } else {
                    elf::STB_GLOBAL
                };
                symbol.set_st_info(binding, elf_type(symbol_type));
                let visibility = match global.visibility {
                    Visibility::Default => elf::STV_DEFAULT,
                    Visibility::Protected => elf::STV_PROTECTED,
                    _ => elf::STV_HIDDEN,
                };
                symbol.st_other = symbol.st_other.with_visibility(visibility);
            } else {
                let binding = if global.is_needed || self.resolved.is_shared(id) {
                    elf::STB_GLOBAL
                } else {
                    elf::STB_WEAK
                };
                let slots = self.scanned.global_slots(id);
                let symbol_type = match slots.plt {
                    _ if slots.is_tls() => elf::STT_TLS,
                    // Code calls it.
                    Some(_) => elf::STT_FUNC,
                    None => elf::STT_NOTYPE,
                };
                symbol.set_st_info(binding, symbol_type);
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
            let (first, second) = got_words(self.resolved, self.scanned, types, entry);
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

    fn plt_entry(&self, index: usize) -> u64 {
        let plt = self.layout.synthetic_address(Synthetic::Plt);
        plt + self.resolved.plt_entry_size * index as u64
    }

    fn got(&self) -> Vec<u8> {
        let value = |(_, word)| match word {
            GotWord::Zero | GotWord::Dynamic { .. } => 0,
            GotWord::Number(target) | GotWord::Relative(target) => self.address(target),
            GotWord::PltEntry(index) => self.plt_entry(index),
            GotWord::BlockOffset(target) => self.block_offset(target),
        };
        self.got_words()
            .map(value)
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    fn plt(&self, address: u64) -> Result<Vec<u8>> {
        let machine = self.resolved.machine;
        let entry_size = self.resolved.plt_entry_size;
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

    /// The digest of the whole file, written where it counts as zero.
    fn write_digest(&mut self) {
        let note = self
            .layout
            .synthetic(Synthetic::Notes)
            .map_or(0, |section| section.file_offset);
        let hole = usize::try_from(note + NOTE_HEADER_SIZE + 4).expect("it is in the file");
        let digest = Digest::of_with_hole(&self.out, hole).expect("it is in the file");
        self.out[hole..hole + DIGEST_SIZE].copy_from_slice(digest.as_bytes());
    }
}

pub(crate) fn elf_type(symbol_type: SymbolType) -> elf::SymbolType {
    match symbol_type {
        SymbolType::Object => elf::STT_OBJECT,
        SymbolType::Function => elf::STT_FUNC,
        SymbolType::Tls => elf::STT_TLS,
        SymbolType::IndirectFunction => elf::STT_GNU_IFUNC,
        SymbolType::None | SymbolType::Section | SymbolType::File => elf::STT_NOTYPE,
    }
}

/// Zeroes, with room for as much again as `room`, so that growing by that much moves nothing.
fn zeroed_with_room(size: usize, room: usize) -> Vec<u8> {
    let mut bytes = vec![0; size.saturating_add(room)];
    bytes.truncate(size);
    bytes
}

/// Sizes were limited when they were laid out, so this fails on a small host only.
fn to_usize(value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| Error::TooLarge)
}

fn to_range(range: Range<u64>) -> Result<Range<usize>> {
    Ok(to_usize(range.start)?..to_usize(range.end)?)
}
