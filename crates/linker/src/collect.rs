//! The image's sections: what of the inputs goes into each, in which order, and what the linker
//! adds.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use object::elf;

use crate::error::{Error, Result};
use crate::input::{Placement, SymbolType};
use crate::layout::{NOTE_HEADER_SIZE, POINTER_SIZE};
use crate::output::{
    Content, OutputSection, Piece, SegmentKind, Synthetic, destination, zeroed_name,
};
use crate::properties::note_size;
use crate::resolve::Resolved;
use crate::scan::Scanned;
use crate::synthetic::{DynamicSymbols, is_identifier};

/// The sections of the image, in their order, with everything but addresses.
pub(crate) fn output_sections<'data>(
    resolved: &Resolved<'data>,
    scanned: &Scanned,
    dynamic_symbols: &DynamicSymbols,
    manifest: &[u8],
) -> Result<Vec<OutputSection<'data>>> {
    let mut sections = collect(resolved, scanned)?;
    add_synthetic(&mut sections, resolved, scanned, dynamic_symbols, manifest);
    gather_empty(&mut sections);
    sections.sort_by_key(|section| (section.segment, section.rank()));
    align_tls(&mut sections);
    Ok(sections)
}

/// Sorts the inputs' sections into output sections.
fn collect<'data>(
    resolved: &Resolved<'data>,
    scanned: &Scanned,
) -> Result<Vec<OutputSection<'data>>> {
    let bounded = bounded_segments(resolved)?;
    let mut sections: Vec<OutputSection<'data>> = Vec::new();
    let mut indices: HashMap<(&[u8], SegmentKind), usize, FixedState> = HashMap::default();
    let mut add = |name, segment, section_type, flags, piece, size, align| {
        let index = *indices.entry((name, segment)).or_insert_with(|| {
            sections.push(OutputSection {
                name,
                segment,
                section_type,
                flags: 0,
                entry_size: 0,
                align: 1,
                content: Content::Pieces(Vec::new()),
                size: 0,
                address: 0,
                file_offset: 0,
            });
            sections.len() - 1
        });
        let section: &mut OutputSection<'_> = &mut sections[index];
        section.flags |= flags;
        section.align = section.align.max(align);
        if section.is_nobits() && section_type != elf::SHT_NOBITS {
            section.section_type = section_type;
        }
        if let Content::Pieces(pieces) = &mut section.content {
            // The size for now; the offset once the order is known.
            pieces.push((piece, size));
        }
    };
    let kept_flags = elf::SHF_ALLOC.0 | elf::SHF_WRITE.0 | elf::SHF_EXECINSTR.0 | elf::SHF_TLS.0;
    for (object_index, object) in resolved.objects.iter().enumerate() {
        for (section_index, section) in object.sections.iter().enumerate() {
            if !resolved.is_kept(object_index, section_index) || section.is_eh_frame() {
                continue;
            }
            let (name, own_segment, section_type) = destination(section);
            let segment = bounded.get(name).copied().unwrap_or(own_segment);
            let piece = Piece::Section {
                object: object_index,
                section: section_index,
            };
            let flags = section.flags & kept_flags;
            add(
                name,
                segment,
                section_type,
                flags,
                piece,
                section.size,
                section.align,
            );
        }
    }
    let alloc = elf::SHF_ALLOC.0;
    for (index, unwind) in scanned.unwind.sections.iter().enumerate() {
        let piece = Piece::Unwind(index);
        add(
            b".eh_frame",
            SegmentKind::ReadOnly,
            elf::SHT_PROGBITS,
            alloc,
            piece,
            unwind.size,
            8,
        );
    }
    if !scanned.unwind.sections.is_empty() {
        let piece = Piece::UnwindTerminator;
        add(
            b".eh_frame",
            SegmentKind::ReadOnly,
            elf::SHT_PROGBITS,
            alloc,
            piece,
            4,
            4,
        );
    }
    for id in 0..resolved.globals.len() {
        let definition = resolved.defining_symbol(id);
        let definition = definition.filter(|symbol| symbol.placement == Placement::Common);
        if let (Some(definition), Some(common)) = (definition, resolved.commons.get(&id)) {
            let (name, segment, flags): (&[u8], _, _) = match definition.symbol_type {
                SymbolType::Tls => (b".tbss", SegmentKind::Relro, elf::SHF_TLS.0),
                _ => (zeroed_name(b".bss", common.size), SegmentKind::Data, 0),
            };
            let flags = flags | alloc | elf::SHF_WRITE.0;
            let piece = Piece::Common(id);
            add(
                name,
                segment,
                elf::SHT_NOBITS,
                flags,
                piece,
                common.size,
                common.align,
            );
        }
    }
    for section in &mut sections {
        place_within(section, resolved);
    }
    Ok(sections)
}

/// The segments of the sections that `__start_` and `__stop_` are about. One name is one section
/// there, so a constant member goes with the writable ones.
fn bounded_segments<'data>(
    resolved: &Resolved<'data>,
) -> Result<HashMap<&'data [u8], SegmentKind, FixedState>> {
    let mut segments: HashMap<&'data [u8], SegmentKind, FixedState> = HashMap::default();
    for (object_index, object) in resolved.objects.iter().enumerate() {
        for (section_index, section) in object.sections.iter().enumerate() {
            if !resolved.is_kept(object_index, section_index) || !is_identifier(section.name) {
                continue;
            }
            let (name, own, _) = destination(section);
            let segment = segments.entry(name).or_insert(own);
            let (low, high) = (own.min(*segment), own.max(*segment));
            if low == SegmentKind::Text && high != SegmentKind::Text {
                return Err(Error::Section {
                    object: object.name.clone(),
                    section: section.display_name(),
                    reason: "it is code in one object and writable in another",
                });
            }
            *segment = high;
        }
    }
    Ok(segments)
}

/// Orders a section's pieces and turns their sizes into offsets.
fn place_within(section: &mut OutputSection<'_>, resolved: &Resolved<'_>) {
    let is_array = matches!(
        section.section_type,
        elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY
    );
    let Content::Pieces(pieces) = &mut section.content else {
        return;
    };
    let input = |piece: Piece| match piece {
        Piece::Section { object, section } => Some(&resolved.objects[object].sections[section]),
        _ => None,
    };
    if is_array {
        section.align = POINTER_SIZE;
        pieces.sort_by_key(|&(piece, _)| input(piece).map(|section| section.priority));
    }
    let mut end: u64 = 0;
    for (piece, offset) in pieces {
        let size = *offset;
        let align = match *piece {
            // A gap would be a null among the pointers.
            Piece::Section { .. } if is_array => POINTER_SIZE,
            Piece::Section { .. } => input(*piece).map_or(1, |section| section.align),
            Piece::Common(id) => {
                (resolved.commons.get(&id)).map_or(1, |common| common.align.max(1))
            }
            Piece::Unwind(_) | Piece::Thunks(_) | Piece::UnwindTerminator => 4,
        };
        // Saturates: what is too large is refused when addresses are given.
        *offset = end.checked_next_multiple_of(align).unwrap_or(u64::MAX);
        end = offset.saturating_add(size);
    }
    section.size = end;
}

fn add_synthetic<'data>(
    sections: &mut Vec<OutputSection<'data>>,
    resolved: &Resolved<'_>,
    scanned: &Scanned,
    dynamic_symbols: &DynamicSymbols,
    manifest: &[u8],
) {
    use SegmentKind::{ReadOnly, Relro, Text};
    use Synthetic as S;
    let digest_size = farcall_image::DIGEST_SIZE as u64;
    let plt_entry = resolved.plt_entry_size;
    let plt_size = plt_entry * scanned.plt.len() as u64;
    let n_symbols = dynamic_symbols.len() as u64;
    let (bits, words) = (elf::SHT_PROGBITS, 8);
    let rows: [(&'static [u8], _, _, _, _, u64, u64); 11] = [
        (
            b".note.gnu.property",
            ReadOnly,
            S::Properties,
            elf::SHT_NOTE,
            8,
            0,
            note_size(&resolved.properties),
        ),
        (
            b".note.gnu.build-id",
            ReadOnly,
            S::Notes,
            elf::SHT_NOTE,
            4,
            0,
            NOTE_HEADER_SIZE + 4 + digest_size + manifest.len() as u64,
        ),
        (
            b".dynsym",
            ReadOnly,
            S::DynamicSymbols,
            elf::SHT_DYNSYM,
            words,
            24,
            24 * n_symbols,
        ),
        (
            b".gnu.hash",
            ReadOnly,
            S::GnuHash,
            elf::SHT_GNU_HASH,
            words,
            0,
            dynamic_symbols.hash.len() as u64,
        ),
        (
            b".dynstr",
            ReadOnly,
            S::DynamicStrings,
            elf::SHT_STRTAB,
            1,
            0,
            dynamic_symbols.strings.len() as u64,
        ),
        (
            b".rela.dyn",
            ReadOnly,
            S::Relocations,
            elf::SHT_RELA,
            words,
            24,
            0,
        ),
        (
            b".relr.dyn",
            ReadOnly,
            S::RelativeRelocations,
            elf::SHT_RELR,
            words,
            8,
            0,
        ),
        (
            b".eh_frame_hdr",
            ReadOnly,
            S::UnwindHeader,
            bits,
            4,
            0,
            scanned.unwind.header_size(),
        ),
        (b".plt", Text, S::Plt, bits, plt_entry, plt_entry, plt_size),
        (
            b".dynamic",
            Relro,
            S::Dynamic,
            elf::SHT_DYNAMIC,
            words,
            16,
            0,
        ),
        (
            b".got",
            Relro,
            S::Got,
            bits,
            words,
            8,
            8 * scanned.n_got_words as u64,
        ),
    ];
    for (name, segment, synthetic, section_type, align, entry_size, size) in rows {
        let is_always = matches!(
            synthetic,
            S::Dynamic | S::Relocations | S::RelativeRelocations | S::Notes
        );
        if size == 0 && !is_always {
            continue;
        }
        let flags = elf::SHF_ALLOC.0
            | if segment == Relro {
                elf::SHF_WRITE.0
            } else {
                0
            }
            | if segment == Text {
                elf::SHF_EXECINSTR.0
            } else {
                0
            };
        sections.push(OutputSection {
            name,
            segment,
            section_type,
            flags,
            entry_size,
            align,
            content: Content::Synthetic(synthetic),
            size,
            address: 0,
            file_offset: 0,
        });
    }
}

/// Gathers what segments that hold nothing consist of in one section of the first segment:
/// assemblers write an empty `.text`, `.data` and `.bss` into every object, and symbols in them must
/// have an address.
fn gather_empty<'data>(sections: &mut Vec<OutputSection<'data>>) {
    let mut empty = Vec::new();
    for kind in [SegmentKind::Text, SegmentKind::Data] {
        let is_here = |section: &OutputSection<'_>| section.segment == kind;
        if sections
            .iter()
            .all(|section| !is_here(section) || section.size == 0)
        {
            empty.extend(sections.extract_if(.., |section| is_here(section)));
        }
    }
    let pieces: Vec<_> = empty
        .into_iter()
        .filter_map(|section| match section.content {
            Content::Pieces(pieces) => Some(pieces),
            Content::Synthetic(_) => None,
        })
        .flatten()
        .map(|(piece, _)| (piece, 0))
        .collect();
    if !pieces.is_empty() {
        sections.push(OutputSection {
            name: b".empty",
            segment: SegmentKind::ReadOnly,
            section_type: elf::SHT_PROGBITS,
            flags: elf::SHF_ALLOC.0,
            entry_size: 0,
            align: 1,
            content: Content::Pieces(pieces),
            size: 0,
            address: 0,
            file_offset: 0,
        });
    }
}

/// Aligns the start of the TLS template to all that it holds, because offsets in a thread's copy
/// count from there.
fn align_tls(sections: &mut [OutputSection<'_>]) {
    let align = sections
        .iter()
        .filter(|section| section.is_tls())
        .map(|section| section.align)
        .max();
    let first = sections.iter_mut().find(|section| section.is_tls());
    if let (Some(first), Some(align)) = (first, align) {
        first.align = align;
    }
}
