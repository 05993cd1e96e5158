//! Where everything is: output sections, their addresses, segments.
//!
//! The segments stand in the order of [`SegmentKind`], each on pages of its own; in most images far apart,
//! see `packing`. In the file their
//! bytes follow each other without gaps, because a segment's address is chosen to agree with its
//! file offset within a page.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;
use object::elf;

use crate::collect::output_sections;
use crate::cpu::Cpus;
use crate::error::{Error, Result};
use crate::output::{Content, OutputSection, Piece, SegmentKind, Synthetic, is_far};
use crate::packing;
use crate::resolve::{Definition, GlobalId, Resolved, Target};
use crate::scan::{Scanned, Word};
use crate::synthetic::{
    ArrayKind, Boundary, DynamicSymbols, GotWord, LinkerSymbol, Thunks, bounded_section, got_words,
};

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Layout<'data> {
    /// In the order of their addresses.
    pub(crate) sections: Vec<OutputSection<'data>>,
    pub(crate) segments: Vec<OutputSegment>,
    /// For each object the address of each section that is kept.
    section_addresses: Vec<Vec<u64>>,
    /// Likewise the segment.
    section_segments: Vec<Vec<SegmentKind>>,
    /// For each unwind section where its records start.
    pub(crate) unwind_addresses: Vec<u64>,
    common_addresses: HashMap<GlobalId, u64, FixedState>,
    pub(crate) thunks: Thunks,
    pub(crate) dynamic_symbols: DynamicSymbols,
    pub(crate) manifest: Vec<u8>,
    pub(crate) n_program_headers: usize,
    /// Where the sections end in the file; the section headers follow.
    pub(crate) file_size: u64,
    pub(crate) tls: Option<TlsLayout>,
}

/// One `PT_LOAD`.
#[derive(Debug, Clone)]
pub(crate) struct OutputSegment {
    pub(crate) kind: SegmentKind,
    pub(crate) memory: Range<u64>,
    pub(crate) file: Range<u64>,
    pub(crate) align: u64,
}

/// The sections by address; thread-local ones apart, because the zeroed part of the template stands over what
/// follows it.
#[derive(Debug)]
pub(crate) struct HeaderIndices<'a> {
    sections: &'a [OutputSection<'a>],
    /// Indices, in the order of addresses.
    tls: Vec<usize>,
    ordinary: Vec<usize>,
}

impl HeaderIndices<'_> {
    /// The index in the section header table of the section that holds an address, or else ends there, as a
    /// symbol may stand at the end of its section; 0 when there is none.
    pub(crate) fn of(&self, address: u64, is_tls: bool) -> u32 {
        let indices = if is_tls { &self.tls } else { &self.ordinary };
        let starts_before = |&at: &usize| self.sections[at].address <= address;
        let before = &indices[..indices.partition_point(starts_before)];
        let end = |at: usize| self.sections[at].address + self.sections[at].size;
        let holds = before.iter().rev().find(|&&at| self.sections[at].size != 0);
        let holds = holds.filter(|&&at| address < end(at));
        let ends = before.iter().rev().take_while(|&&at| end(at) == address);
        let found = holds.or_else(|| ends.last());
        found.map_or(0, |&at| u32::try_from(at + 1).unwrap_or(u32::MAX))
    }
}

/// The TLS template.
#[derive(Debug, Clone)]
pub(crate) struct TlsLayout {
    pub(crate) memory: Range<u64>,
    pub(crate) file: Range<u64>,
    pub(crate) align: u64,
}

/// The reach of a signed 32-bit displacement, less a page for what stands before or after.
const MAX_SPAN: u64 = (1 << 31) - (1 << 16);
/// What images allow, for sections that are not referred to by such displacements.
const MAX_FAR_SPAN: u64 = 1 << 40;

/// Bytes of an ELF file header and of a program header.
pub(crate) const FILE_HEADER_SIZE: u64 = 64;
pub(crate) const PROGRAM_HEADER_SIZE: u64 = 56;
/// A RELR table names words at multiples of it.
pub(crate) const POINTER_SIZE: u64 = 8;
/// What images allow: every thread has a block of this size.
const MAX_TLS_SIZE: u64 = 1 << 30;
/// More zeroes than this in a file are a mistake or an attack.
const MAX_PADDING: u64 = 1 << 26;
/// Bytes of the note header before a build-id: sizes, type, owner.
pub(crate) const NOTE_HEADER_SIZE: u64 = 12;

impl Layout<'_> {
    /// The section that the linker makes, if the image has it.
    pub(crate) fn synthetic(&self, synthetic: Synthetic) -> Option<&OutputSection<'_>> {
        self.sections
            .iter()
            .find(|section| section.content == Content::Synthetic(synthetic))
    }

    /// The address of a section that the linker makes; the image's end when it has none.
    pub(crate) fn synthetic_address(&self, synthetic: Synthetic) -> u64 {
        self.synthetic(synthetic)
            .map_or_else(|| self.end(), |section| section.address)
    }

    fn end(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.memory.end)
    }

    /// The address of what a symbol stands for, its `S`; for thread-local variables the address
    /// in the template. Imports have none: 0.
    pub(crate) fn target_address(&self, resolved: &Resolved<'_>, target: Target) -> u64 {
        match target {
            Target::Section {
                object,
                section,
                value,
            } => self.section_addresses[object][section].wrapping_add(value),
            Target::Absolute(value) => value,
            Target::Common(id) => self.common_addresses.get(&id).copied().unwrap_or(0),
            Target::Linker(id) => self.linker_symbol_address(resolved, id),
            Target::Import(_) | Target::Null | Target::Discarded => 0,
        }
    }

    fn linker_symbol_address(&self, resolved: &Resolved<'_>, id: GlobalId) -> u64 {
        let Definition::Linker(symbol) = resolved.globals[id].definition else {
            return 0;
        };
        let bounds = |section: Option<&OutputSection<'_>>, boundary| match (section, boundary) {
            (None, _) => 0,
            (Some(section), Boundary::Start) => section.address,
            (Some(section), Boundary::Stop) => section.address + section.size,
        };
        let segment = |kind| self.segments.iter().find(|segment| segment.kind == kind);
        match symbol {
            LinkerSymbol::ImageStart => 0,
            LinkerSymbol::ImageIdentity => self
                .segments
                .get(1)
                .map_or(0, |segment| segment.memory.start),
            LinkerSymbol::GlobalOffsetTable => self.synthetic_address(Synthetic::Got),
            LinkerSymbol::TlsModuleBase => self.tls.as_ref().map_or(0, |tls| tls.memory.start),
            LinkerSymbol::Dynamic => self.synthetic_address(Synthetic::Dynamic),
            LinkerSymbol::UnwindHeader => self.synthetic_address(Synthetic::UnwindHeader),
            LinkerSymbol::TextEnd => segment(SegmentKind::Text).map_or(0, |text| text.memory.end),
            LinkerSymbol::DataEnd | LinkerSymbol::BssStart => {
                let file_end =
                    |data: &OutputSegment| data.memory.start + (data.file.end - data.file.start);
                segment(SegmentKind::Data).map_or_else(|| self.end(), file_end)
            }
            LinkerSymbol::ImageEnd => self.end(),
            LinkerSymbol::Array(kind, boundary) => {
                let wanted = match kind {
                    ArrayKind::Preinit => elf::SHT_PREINIT_ARRAY,
                    ArrayKind::Init => elf::SHT_INIT_ARRAY,
                    ArrayKind::Fini => elf::SHT_FINI_ARRAY,
                };
                let found = self
                    .sections
                    .iter()
                    .find(|section| section.section_type == wanted);
                bounds(found, boundary)
            }
            LinkerSymbol::Section(boundary) => {
                let name = bounded_section(resolved.globals[id].name);
                let found = self
                    .sections
                    .iter()
                    .find(|section| Some(section.name) == name);
                bounds(found, boundary)
            }
        }
    }

    /// For finding sections by address.
    pub(crate) fn header_indices(&self) -> HeaderIndices<'_> {
        let (tls, ordinary) = (0..self.sections.len()).partition(|&at| self.sections[at].is_tls());
        HeaderIndices {
            sections: &self.sections,
            tls,
            ordinary,
        }
    }

    /// The segment of a word of an input section.
    fn segment_of(&self, word: Word) -> SegmentKind {
        self.section_segments[word.object][word.section]
    }

    /// The address of a word of an input section.
    pub(crate) fn word_address(&self, word: Word) -> u64 {
        self.section_addresses[word.object][word.section].wrapping_add(word.offset)
    }
}

pub(crate) fn layout<'data>(
    resolved: &Resolved<'data>,
    scanned: &Scanned,
    cpus: &Cpus,
) -> Result<Layout<'data>> {
    let dynamic_symbols = DynamicSymbols::new(resolved, scanned);
    let manifest = crate::types::manifest(resolved, scanned, &dynamic_symbols, cpus);
    let mut sections = output_sections(resolved, scanned, &dynamic_symbols, &manifest)?;
    let thunks = Thunks::place(&mut sections, resolved, scanned)?;

    // The tables in the first segment have sizes that depend on where words stand in theirs, not
    // on where those segments are.
    let mut layout = Layout {
        sections,
        segments: Vec::new(),
        section_addresses: (resolved.objects.iter())
            .map(|object| vec![0; object.sections.len()])
            .collect(),
        section_segments: (resolved.objects.iter())
            .map(|object| vec![SegmentKind::ReadOnly; object.sections.len()])
            .collect(),
        unwind_addresses: vec![0; scanned.unwind.sections.len()],
        common_addresses: HashMap::default(),
        thunks,
        dynamic_symbols,
        manifest,
        n_program_headers: 0,
        file_size: 0,
        tls: None,
    };
    for kind in [SegmentKind::Relro, SegmentKind::Data] {
        give_offsets(&mut layout.sections, kind, 0)?;
    }
    place_pieces(&mut layout);
    size_relocation_tables(&mut layout, resolved, scanned);
    let is_packed = packing::is_packed(resolved, scanned, &layout.sections);
    give_addresses(&mut layout, resolved, is_packed)?;
    place_pieces(&mut layout);
    Ok(layout)
}

/// Gives the sections of a segment addresses from `start` on; gives where the segment ends.
pub(crate) fn give_offsets(
    sections: &mut [OutputSection<'_>],
    kind: SegmentKind,
    start: u64,
) -> Result<u64> {
    let mut end = start;
    // Where the zeroed part of the TLS template goes on, which stands over what follows it.
    let mut zeroed_end = start;
    for section in sections
        .iter_mut()
        .filter(|section| section.segment == kind)
    {
        let takes_addresses = section.takes_addresses();
        section.address = (if takes_addresses { end } else { zeroed_end })
            .checked_next_multiple_of(section.align)
            .ok_or(Error::TooLarge)?;
        let limit = if is_far(section.name) {
            MAX_FAR_SPAN
        } else {
            MAX_SPAN
        };
        let section_end = section
            .address
            .checked_add(section.size)
            .filter(|&end| end <= limit);
        let section_end = section_end.ok_or(Error::TooLarge)?;
        if takes_addresses {
            end = section_end;
        }
        if section.is_tls() {
            zeroed_end = section_end;
        }
    }
    Ok(end)
}

/// Copies the sections' addresses to their pieces.
fn place_pieces(layout: &mut Layout<'_>) {
    for output in &layout.sections {
        let Content::Pieces(pieces) = &output.content else {
            continue;
        };
        for &(piece, offset) in pieces {
            let address = output.address + offset;
            match piece {
                Piece::Section { object, section } => {
                    layout.section_addresses[object][section] = address;
                    layout.section_segments[object][section] = output.segment;
                }
                Piece::Unwind(index) => layout.unwind_addresses[index] = address,
                Piece::Common(id) => {
                    layout.common_addresses.insert(id, address);
                }
                Piece::Thunks(island) => layout.thunks.set_address(island, address),
                Piece::UnwindTerminator => {}
            }
        }
    }
}

fn size_relocation_tables(layout: &mut Layout<'_>, resolved: &Resolved<'_>, scanned: &Scanned) {
    let (relr, unaligned) = relative_words(layout, resolved, scanned);
    let n_relr: usize = relr
        .iter()
        .map(|addresses| encode_relr(addresses).len())
        .sum();
    let n_rela = unaligned.len()
        + scanned.symbolic.len()
        + scanned.indirect.len()
        + n_got_relocations(resolved, scanned);
    for section in &mut layout.sections {
        match section.content {
            Content::Synthetic(Synthetic::Relocations) => section.size = 24 * n_rela as u64,
            Content::Synthetic(Synthetic::RelativeRelocations) => section.size = 8 * n_relr as u64,
            _ => {}
        }
    }
    let is_empty_table = |section: &OutputSection<'_>| {
        let table = Content::Synthetic(Synthetic::Relocations);
        let relative = Content::Synthetic(Synthetic::RelativeRelocations);
        section.size == 0 && (section.content == table || section.content == relative)
    };
    layout.sections.retain(|section| !is_empty_table(section));
    // No word that the load bias is added to comes after it, so its size changes no table's.
    let n_entries = crate::write::n_dynamic_entries(&layout.sections);
    let dynamic = Content::Synthetic(Synthetic::Dynamic);
    if let Some(section) = layout
        .sections
        .iter_mut()
        .find(|section| section.content == dynamic)
    {
        section.size = 16 * n_entries as u64;
    }
}

/// The addresses of the words that the load bias is added to: those that a RELR table can name,
/// sorted, for each segment by itself, and the unaligned ones.
pub(crate) fn relative_words(
    layout: &Layout<'_>,
    resolved: &Resolved<'_>,
    scanned: &Scanned,
) -> ([Vec<u64>; 2], Vec<Word>) {
    let mut aligned = [Vec::new(), Vec::new()];
    let mut unaligned = Vec::new();
    for &word in &scanned.relative {
        let address = layout.word_address(word);
        if !address.is_multiple_of(8) {
            unaligned.push(word);
        } else {
            aligned[usize::from(layout.segment_of(word) == SegmentKind::Data)].push(address);
        }
    }
    let got = layout.synthetic_address(Synthetic::Got);
    let types = resolved.machine.dynamic_types();
    for entry in &scanned.got {
        let (first, _) = got_words(resolved, scanned, types, entry);
        if matches!(first, GotWord::Relative(_) | GotWord::PltEntry(_)) {
            aligned[0].push(got + 8 * entry.word as u64);
        }
    }
    for addresses in &mut aligned {
        addresses.sort_unstable();
        addresses.dedup();
    }
    (aligned, unaligned)
}

/// The relocations of GOT entries other than relative ones.
fn n_got_relocations(resolved: &Resolved<'_>, scanned: &Scanned) -> usize {
    let types = resolved.machine.dynamic_types();
    let count = |entry| {
        let (first, second) = got_words(resolved, scanned, types, entry);
        let words = [Some(first), second];
        words
            .iter()
            .filter(|word| matches!(word, Some(GotWord::Dynamic { .. })))
            .count()
    };
    scanned.got.iter().map(count).sum()
}

/// Encodes sorted, 8-byte aligned addresses as a RELR table: gABI, "Relative Relocation Table".
pub(crate) fn encode_relr(addresses: &[u64]) -> Vec<u64> {
    let mut words = Vec::new();
    let mut index = 0;
    while let Some(&address) = addresses.get(index) {
        words.push(address);
        index += 1;
        let mut base = address + 8;
        loop {
            let mut bitmap = 0_u64;
            while let Some(&next) = addresses.get(index) {
                let distance = next - base;
                if distance >= 63 * 8 {
                    break;
                }
                bitmap |= 1 << (distance / 8);
                index += 1;
            }
            if bitmap == 0 {
                break;
            }
            words.push(bitmap << 1 | 1);
            base += 63 * 8;
        }
    }
    words
}

/// Gives every section its address and its place in the file.
fn give_addresses(layout: &mut Layout<'_>, resolved: &Resolved<'_>, is_packed: bool) -> Result<()> {
    let page = resolved.machine.max_page_size();
    layout.n_program_headers = crate::headers::n_program_headers(&layout.sections);
    let headers = FILE_HEADER_SIZE + PROGRAM_HEADER_SIZE * layout.n_program_headers as u64;
    let mut memory_end = 0;
    let mut file_end = 0_u64;
    for kind in SegmentKind::ALL {
        let in_segment = |section: &&OutputSection<'_>| section.segment == kind;
        let Some(align) = layout
            .sections
            .iter()
            .filter(in_segment)
            .map(|section| section.align)
            .max()
        else {
            continue;
        };
        let segment_align = if is_packed {
            packing::segment_align(resolved.machine, align)
        } else {
            align.max(page)
        };
        // At least as a pointer, so that what the offsets in a segment say about alignment holds
        // for its addresses.
        let align = align.max(POINTER_SIZE);
        let file_start = match kind {
            SegmentKind::ReadOnly => 0,
            SegmentKind::Text => file_end.next_multiple_of(align),
            SegmentKind::Relro | SegmentKind::Data => {
                let aligned = file_end.next_multiple_of(align);
                let size = give_offsets(&mut layout.sections, kind, 0)?;
                writable_start(aligned, size)
            }
        };
        let free = if is_packed {
            packing::start(kind)
        } else {
            u64::next_multiple_of(memory_end, segment_align)
        };
        let start = free + file_start % segment_align;
        let first = if kind == SegmentKind::ReadOnly {
            headers
        } else {
            start
        };
        let mut end = give_offsets(&mut layout.sections, kind, first)?;
        // Pages are protected whole, so a segment that changes protection has whole pages.
        if kind == SegmentKind::Relro {
            end = end.next_multiple_of(page);
        }
        let mut segment_file_end = file_start;
        for section in layout
            .sections
            .iter_mut()
            .filter(|section| section.segment == kind)
        {
            section.file_offset = file_start + (section.address - start);
            if !section.is_nobits() {
                segment_file_end = segment_file_end.max(section.file_offset + section.size);
            }
        }
        layout.segments.push(OutputSegment {
            kind,
            memory: start..end,
            file: file_start..segment_file_end,
            align: segment_align,
        });
        (memory_end, file_end) = (end, segment_file_end);
    }
    let padding = file_end - bytes_in_file(layout, resolved);
    if padding > MAX_PADDING {
        return Err(Error::Padding { size: padding });
    }
    layout.file_size = file_end;
    layout.tls = tls_layout(&layout.sections);
    let tls = layout.tls.as_ref().map_or(0..0, |tls| tls.memory.clone());
    if tls.end - tls.start > MAX_TLS_SIZE {
        return Err(Error::TlsTooLarge {
            size: tls.end - tls.start,
        });
    }
    Ok(())
}

/// Where in the file a writable segment of `size` bytes starts that may start at `aligned`: on a page, where that
/// saves one of a large image. Every process has a copy of these pages; those of small images are shared with
/// others.
fn writable_start(aligned: u64, size: u64) -> u64 {
    const PAGE: u64 = 1 << 12;
    const LARGE: u64 = 1 << 17;
    let n_pages = (aligned % PAGE + size).div_ceil(PAGE);
    if aligned >= LARGE && n_pages > size.div_ceil(PAGE) {
        aligned.next_multiple_of(PAGE)
    } else {
        aligned
    }
}

/// The bytes that sections bring to the file.
fn bytes_in_file(layout: &Layout<'_>, resolved: &Resolved<'_>) -> u64 {
    let in_file = layout
        .sections
        .iter()
        .filter(|section| !section.is_nobits());
    let size = |section: &OutputSection<'_>| match &section.content {
        Content::Synthetic(_) => section.size,
        Content::Pieces(pieces) => pieces
            .iter()
            .map(|(piece, _)| match *piece {
                Piece::Section { object, section } => {
                    resolved.objects[object].sections[section].data.len() as u64
                }
                Piece::Thunks(island) => layout.thunks.size(island),
                _ => 0,
            })
            .sum(),
    };
    in_file.map(size).sum()
}

fn tls_layout(sections: &[OutputSection<'_>]) -> Option<TlsLayout> {
    let mut tls = sections.iter().filter(|section| section.is_tls());
    let first = tls.next()?;
    let mut layout = TlsLayout {
        memory: first.address..first.address,
        file: first.file_offset..first.file_offset,
        align: 1,
    };
    for section in sections.iter().filter(|section| section.is_tls()) {
        layout.align = layout.align.max(section.align);
        layout.memory.end = section.address + section.size;
        if !section.is_nobits() {
            layout.file.end = section.file_offset + section.size;
        }
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relr_names_neighbours_by_bits() {
        assert_eq!(encode_relr(&[]), []);
        assert_eq!(encode_relr(&[0x1000]), [0x1000]);
        assert_eq!(
            encode_relr(&[0x1000, 0x1008, 0x1018]),
            [0x1000, 0b101 << 1 | 1]
        );
        let far = 0x1008 + 63 * 8;
        assert_eq!(
            encode_relr(&[0x1000, far - 8, far]),
            [0x1000, 1 << 63 | 1, 1 << 1 | 1]
        );
        assert_eq!(encode_relr(&[0x1000, far]), [0x1000, far]);
    }
}
