//! Mergeable sections: constants and strings of which the image needs one copy.
//!
//! Equal pieces of the sections that may be merged with each other become one piece of a section of
//! an object of the linker's own. Symbols and relocations are rewritten to mean that section, so that
//! no later phase knows of merging.
//!
//! Source: gABI, "Section Attribute Flags" (`SHF_MERGE` and `SHF_STRINGS`).

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::FixedState;
use object::elf::{self, Rela64};
use object::endian::{I64, LittleEndian as LE};

use crate::error::{Error, Errors};
use crate::input::{Object, Placement, Section, SymbolType};
use crate::output::{SegmentKind, destination};
use crate::resolve::Resolved;
use crate::synthetic::is_identifier;

/// Merges what may be merged in the sections that enter the image.
pub(crate) fn merge_sections(resolved: &mut Resolved<'_>) -> Result<(), Errors> {
    let mut merged = Merged::default();
    for (kind, members) in kinds(resolved) {
        merged.add(resolved, &kind, &members);
    }
    if merged.sections.is_empty() {
        return Ok(());
    }
    let mut errors = Vec::new();
    for (index, moves) in merged.moves.into_iter().enumerate() {
        resolved.discard(index, moves.iter().map(|&(section, _)| section));
        if let Err(error) = move_references(&mut resolved.objects[index], moves) {
            errors.push(error);
        }
    }
    let machine = resolved.machine;
    resolved.add_merged(Object {
        name: "farcall's merged constants".to_owned(),
        machine,
        sections: merged.sections,
        symbols: Vec::new(),
        first_global: 0,
        groups: Vec::new(),
        default_versions: Vec::new(),
        properties: None,
    });
    Errors::check(errors)
}

/// What sections must agree in to be merged with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind<'data> {
    name: &'data [u8],
    segment: SegmentKind,
    flags: u64,
    entry_size: usize,
    align: u64,
}

/// Every piece is aligned as its section, so more than this would only make the image larger.
const MAX_ALIGN: u64 = 64;

type Members = Vec<(usize, usize)>;

/// The mergeable sections of each kind, in the order of the inputs.
fn kinds<'data>(resolved: &Resolved<'data>) -> Vec<(Kind<'data>, Members)> {
    let mut kinds: Vec<(Kind<'data>, Members)> = Vec::new();
    let mut indices = HashMap::<Kind<'data>, usize, FixedState>::default();
    for (object_index, object) in resolved.objects.iter().enumerate() {
        for (index, section) in object.sections.iter().enumerate() {
            if !resolved.is_kept(object_index, index) {
                continue;
            }
            let Some(kind) = kind(section) else { continue };
            let known = *indices.entry(kind.clone()).or_insert(kinds.len());
            if known == kinds.len() {
                kinds.push((kind, Vec::new()));
            }
            kinds[known].1.push((object_index, index));
        }
    }
    kinds
}

/// The kind of a section, if it may be merged.
fn kind<'data>(section: &Section<'data>) -> Option<Kind<'data>> {
    let (name, segment, _) = destination(section);
    let entry_size = section.entry_size;
    let is_mergeable = section.has_flag(elf::SHF_MERGE)
        && !section.has_flag(elf::SHF_WRITE)
        && section.relocations.is_empty()
        && section.section_type == elf::SHT_PROGBITS
        // `__start_` and `__stop_` of it may count its entries.
        && !is_identifier(section.name)
        && entry_size != 0
        && section.align <= MAX_ALIGN
        && section.data.len().is_multiple_of(entry_size)
        && u32::try_from(section.data.len()).is_ok();
    let is_whole = !section.has_flag(elf::SHF_STRINGS)
        || section
            .data
            .rchunks(entry_size.max(1))
            .next()
            .is_some_and(is_zero);
    (is_mergeable && is_whole).then_some(Kind {
        name,
        segment,
        flags: section.flags & !elf::SHF_GROUP.0,
        entry_size,
        align: section.align,
    })
}

fn is_zero(unit: &[u8]) -> bool {
    unit.iter().all(|&byte| byte == 0)
}

/// The merged sections, and what went where.
#[derive(Debug, Default)]
struct Merged<'data> {
    sections: Vec<Section<'data>>,
    /// For each object, up to the last that has any, its sections that were merged.
    moves: Vec<Vec<(usize, Moved)>>,
}

impl<'data> Merged<'data> {
    /// Merges the sections of one kind.
    fn add(&mut self, resolved: &Resolved<'data>, kind: &Kind<'data>, members: &Members) {
        let data = |&(object, section): &(usize, usize)| -> &[u8] {
            &resolved.objects[object].sections[section].data
        };
        let mut pool = Pool::new(
            kind.flags & elf::SHF_STRINGS.0 != 0,
            kind.entry_size,
            kind.align,
        );
        let pieces: Vec<_> = members
            .iter()
            .map(|member| pool.add(data(member)))
            .collect();
        let bytes = pool.bytes;
        // A compiler has mostly merged what is in one object, and alignment may cost more than is saved.
        if bytes.len() >= members.iter().map(|member| data(member).len()).sum() {
            return;
        }
        for (&(object, section), pieces) in members.iter().zip(pieces) {
            if self.moves.len() <= object {
                self.moves.resize_with(object + 1, Vec::new);
            }
            let to = self.sections.len();
            self.moves[object].push((section, Moved { to, pieces }));
        }
        let (object, section) = members[0];
        self.sections.push(Section {
            name: resolved.objects[object].sections[section].name,
            section_type: elf::SHT_PROGBITS,
            flags: kind.flags,
            entry_size: kind.entry_size,
            size: bytes.len() as u64,
            data: Cow::Owned(bytes),
            align: kind.align,
            relocations: Cow::Borrowed(&[]),
            is_debug_info: false,
            describes: None,
            priority: 0,
        });
    }
}

/// Where a section went.
#[derive(Debug)]
struct Moved {
    /// The index of the merged section.
    to: usize,
    pieces: Pieces,
}

/// Distinct pieces, one behind the other.
#[derive(Debug)]
pub(crate) struct Pool<'a> {
    are_strings: bool,
    entry_size: usize,
    align: usize,
    known: HashMap<&'a [u8], u64, FixedState>,
    /// All that was added, each piece once.
    pub(crate) bytes: Vec<u8>,
}

/// Where the pieces of a section went: offsets in the section and in its pool.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// The offsets in the section, ascending from 0.
    starts: Vec<u32>,
    /// Likewise those in the pool.
    outputs: Vec<u64>,
    /// Bytes of the section.
    size: u64,
    /// The piece that was found last: references mostly come in order.
    last: usize,
}

impl<'a> Pool<'a> {
    /// For strings, which end in a zero of `entry_size` bytes, or for constants of that size.
    pub(crate) fn new(are_strings: bool, entry_size: usize, align: u64) -> Self {
        Self {
            are_strings,
            entry_size,
            align: usize::try_from(align).unwrap_or(1),
            known: HashMap::default(),
            bytes: Vec::new(),
        }
    }

    /// Adds the pieces of a section, which are whole.
    pub(crate) fn add(&mut self, data: &'a [u8]) -> Pieces {
        let mut pieces = Pieces {
            starts: Vec::new(),
            outputs: Vec::new(),
            size: data.len() as u64,
            last: 0,
        };
        let mut start = 0;
        while start < data.len() {
            let end = start + self.piece_size(&data[start..]);
            let piece = &data[start..end];
            let bytes = &mut self.bytes;
            let output = *self.known.entry(piece).or_insert_with(|| {
                bytes.resize(bytes.len().next_multiple_of(self.align), 0);
                let output = bytes.len();
                bytes.extend_from_slice(piece);
                output as u64
            });
            pieces.starts.push(u32::try_from(start).unwrap_or(u32::MAX));
            pieces.outputs.push(output);
            start = end;
        }
        pieces
    }

    /// The size of the first piece.
    fn piece_size(&self, data: &[u8]) -> usize {
        if !self.are_strings {
            return self.entry_size;
        }
        let units = match self.entry_size {
            1 => memchr::memchr(0, data),
            size => data.chunks(size).position(is_zero),
        };
        units.map_or(data.len(), |units| (units + 1) * self.entry_size)
    }
}

impl Pieces {
    /// Where an offset in the section is in the pool; the section's end is that of its last piece.
    pub(crate) fn output(&mut self, offset: u64) -> Option<u64> {
        if offset > self.size {
            return None;
        }
        let starts = |piece: usize| self.starts.get(piece).map(|&start| u64::from(start));
        let holds = |piece: usize| {
            starts(piece).is_some_and(|start| start <= offset)
                && starts(piece + 1).is_none_or(|next| offset < next)
        };
        if !holds(self.last) {
            let next = self.last + 1;
            self.last = if holds(next) {
                next
            } else {
                let after = self
                    .starts
                    .partition_point(|&start| u64::from(start) <= offset);
                after.checked_sub(1)?
            };
        }
        let within = offset - starts(self.last)?;
        Some(self.outputs[self.last] + within)
    }
}

/// Makes an object's symbols and relocations mean what its sections were merged to.
fn move_references(object: &mut Object<'_>, moves: Vec<(usize, Moved)>) -> Result<(), Error> {
    let mut moved: Vec<Option<Moved>> = Vec::new();
    moved.resize_with(object.sections.len(), || None);
    for (section, to) in moves {
        moved[section] = Some(to);
    }
    // The sections of section symbols, whose relocations say by their addends which piece they mean.
    let mut by_addend: Vec<Option<usize>> = Vec::new();
    for (index, symbol) in object.symbols.iter_mut().enumerate() {
        let Placement::Section(section) = symbol.placement else {
            continue;
        };
        let Some(Moved { to, pieces }) = &mut moved[section] else {
            continue;
        };
        symbol.placement = Placement::Merged(*to);
        if symbol.symbol_type == SymbolType::Section {
            by_addend.resize(index, None);
            by_addend.push(Some(section));
        } else if let Some(output) = pieces.output(symbol.value) {
            symbol.value = output;
        } else {
            return Err(Error::Symbol {
                object: object.name.clone(),
                symbol: symbol.display_name(),
                reason: "its value lies outside its section",
            });
        }
    }
    if by_addend.is_empty() {
        return Ok(());
    }
    for index in 0..object.sections.len() {
        let target = |relocation: &Rela64<LE>| {
            let symbol = relocation.r_sym(LE, false) as usize;
            by_addend.get(symbol).copied().flatten()
        };
        let relocations = &object.sections[index].relocations;
        let Some(first) = relocations
            .iter()
            .position(|relocation| target(relocation).is_some())
        else {
            continue;
        };
        let relocations = &mut object.sections[index].relocations.to_mut()[first..];
        for relocation in relocations {
            let Some(section) = target(relocation) else {
                continue;
            };
            let addend = relocation.r_addend.get(LE);
            let pieces = moved[section].as_mut().map(|moved| &mut moved.pieces);
            let output = pieces
                .zip(u64::try_from(addend).ok())
                .and_then(|(pieces, offset)| pieces.output(offset))
                .and_then(|output| i64::try_from(output).ok());
            let Some(output) = output else {
                let offset = relocation.r_offset.get(LE);
                return Err(Error::OutsideMergeable {
                    place: object.place(index, offset),
                    section: object.sections[section].display_name(),
                    addend,
                });
            };
            relocation.r_addend = I64::new(LE, output);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_become_one_and_offsets_in_them_are_kept() {
        let mut pool = Pool::new(true, 1, 1);
        let mut first = pool.add(b"one\0two\0");
        let mut second = pool.add(b"two\0\0three\0");
        assert_eq!(pool.bytes, b"one\0two\0\0three\0");
        assert_eq!(first.output(5), Some(5));
        assert_eq!(first.output(0), Some(0));
        assert_eq!(first.output(8), Some(8));
        assert_eq!(first.output(9), None);
        assert_eq!(second.output(1), Some(5));
        assert_eq!(second.output(4), Some(8));
        assert_eq!(second.output(7), Some(11));
    }

    #[test]
    fn wide_strings_end_at_a_whole_zero_unit() {
        let mut pool = Pool::new(true, 2, 2);
        let mut pieces = pool.add(b"a\0b\0\0\0\0c\0\0");
        assert_eq!(pool.bytes.len(), 10);
        assert_eq!(pieces.output(6), Some(6));
    }

    #[test]
    fn constants_stay_aligned() {
        let mut pool = Pool::new(false, 4, 16);
        let mut pieces = pool.add(b"aaaabbbbaaaa");
        assert_eq!(pool.bytes.len(), 20);
        assert_eq!(pieces.output(4), Some(16));
        assert_eq!(pieces.output(8), Some(0));
        assert_eq!(pieces.output(12), Some(4));
    }
}
