//! The debug sections of the objects, joined by name and relocated.
//!
//! What describes code that is not in the image refers to address 0 (1 in lists of ranges, of which a
//! pair of zeroes is the end): debuggers know it for dead. Source: DWARF 5, "Range List Table", and
//! what linkers agree on.

use std::collections::HashMap;

use farcall_arch::Expression;
use foldhash::fast::FixedState;
use object::elf::{self, Rela64};
use object::endian::LittleEndian as LE;

use super::Unloaded;
use crate::error::{Error, Errors, Result};
use crate::input::{Placement, Section, SymbolType};
use crate::layout::Layout;
use crate::merge::{Pieces, Pool};
use crate::resolve::{Resolved, Target};

/// Larger alignments of what is not loaded serve nobody.
const MAX_ALIGN: u64 = 4096;

/// A section of the output while it is being put together.
struct Joined<'a> {
    section: Unloaded,
    /// The strings, if it consists of nothing else: each is there once.
    pool: Option<Pool<'a>>,
}

/// Where an input's section went.
enum Place {
    /// To this offset of the output section with this index.
    Whole { output: usize, offset: u64 },
    /// String by string.
    Pooled(Pieces),
}

/// The input sections that went somewhere, by object and index.
type Places = HashMap<(usize, usize), Place, FixedState>;

pub(super) fn joined(
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
) -> Result<Vec<Unloaded>, Errors> {
    let (mut joined, mut places) = join(resolved);
    let mut errors = Vec::new();
    for (object, inputs) in resolved.objects.iter().enumerate() {
        for (index, section) in inputs.sections.iter().enumerate() {
            let Some(&Place::Whole { output, offset }) = places.get(&(object, index)) else {
                continue;
            };
            let start = usize::try_from(offset).map_err(|_| Error::TooLarge)?;
            let bytes = &mut joined[output].bytes[start..start + section.data.len()];
            let mut relocator = Relocator {
                resolved,
                layout,
                places: &mut places,
                object,
                section: index,
                tombstone: tombstone(&name(section)),
            };
            for relocation in section.relocations.iter() {
                if let Err(error) = relocator.apply(bytes, relocation) {
                    errors.push(error);
                }
            }
        }
    }
    Errors::check(errors)?;
    Ok(joined)
}

/// Copies the inputs' sections to those of the output, in the order in which names come first.
fn join(resolved: &Resolved<'_>) -> (Vec<Unloaded>, Places) {
    let mut joined: Vec<Joined<'_>> = Vec::new();
    let mut outputs = HashMap::<Vec<u8>, usize, FixedState>::default();
    let mut places = Places::default();
    for (object_index, object) in resolved.objects.iter().enumerate() {
        for (index, section) in object.sections.iter().enumerate() {
            if !section.is_debug_info || resolved.is_lost_debug_info(object_index, index) {
                continue;
            }
            let name = name(section);
            let output = *outputs.entry(name.clone()).or_insert_with(|| {
                joined.push(Joined::new(name, section));
                joined.len() - 1
            });
            let place = joined[output].add(output, section);
            places.insert((object_index, index), place);
        }
    }
    (joined.into_iter().map(Joined::finish).collect(), places)
}

/// The name in the output: the old form of compressed sections has another letter in it.
fn name(section: &Section<'_>) -> Vec<u8> {
    match section.name.strip_prefix(b".z") {
        Some(rest) => [b".", rest].concat(),
        None => section.name.to_vec(),
    }
}

/// What addresses of code that is not in the image become.
fn tombstone(section: &[u8]) -> u64 {
    u64::from(matches!(section, b".debug_ranges" | b".debug_loc"))
}

fn are_strings(section: &Section<'_>) -> bool {
    section.has_flag(elf::SHF_MERGE)
        && section.has_flag(elf::SHF_STRINGS)
        && section.entry_size == 1
        && section.relocations.is_empty()
        && section.data.last().is_none_or(|&byte| byte == 0)
        && u32::try_from(section.data.len()).is_ok()
}

impl<'a> Joined<'a> {
    fn new(name: Vec<u8>, first: &Section<'_>) -> Self {
        let string_flags = elf::SHF_MERGE.0 | elf::SHF_STRINGS.0;
        let has_strings = are_strings(first);
        Self {
            section: Unloaded {
                name,
                section_type: elf::SHT_PROGBITS,
                flags: if has_strings { string_flags } else { 0 },
                align: 1,
                entry_size: u64::from(has_strings),
                links_to_next: false,
                info: 0,
                bytes: Vec::new(),
            },
            pool: has_strings.then(|| Pool::new(true, 1, 1)),
        }
    }

    fn add(&mut self, output: usize, input: &'a Section<'_>) -> Place {
        if let Some(pool) = &mut self.pool {
            if are_strings(input) {
                return Place::Pooled(pool.add(&input.data));
            }
            // Some object has other things under this name: from here on all go whole, behind the strings.
            self.section.bytes = std::mem::take(&mut pool.bytes);
            self.section.flags = 0;
            self.section.entry_size = 0;
            self.pool = None;
        }
        let is_usable = input.align.is_power_of_two() && input.align <= MAX_ALIGN;
        let align = if is_usable { input.align } else { 1 };
        self.section.align = self.section.align.max(align);
        let bytes = &mut self.section.bytes;
        let align = usize::try_from(align).unwrap_or(1);
        bytes.resize(bytes.len().next_multiple_of(align), 0);
        let offset = bytes.len() as u64;
        bytes.extend_from_slice(&input.data);
        Place::Whole { output, offset }
    }

    fn finish(mut self) -> Unloaded {
        if let Some(pool) = self.pool {
            self.section.bytes = pool.bytes;
        }
        self.section
    }
}

/// Applies the relocations of one section.
struct Relocator<'a, 'data> {
    resolved: &'a Resolved<'data>,
    layout: &'a Layout<'data>,
    places: &'a mut Places,
    object: usize,
    section: usize,
    tombstone: u64,
}

impl Relocator<'_, '_> {
    fn apply(&mut self, bytes: &mut [u8], relocation: &Rela64<LE>) -> Result<()> {
        let offset = relocation.r_offset.get(LE);
        let symbol = relocation.r_sym(LE, false) as usize;
        let r_type = relocation.r_type(LE, false).0;
        let place = || self.resolved.place(self.object, self.section, offset);
        let symbol_name = || self.resolved.symbol_name(self.object, symbol);
        let Some(reloc) = self.resolved.machine.reloc(r_type) else {
            return Err(Error::UnknownRelocation {
                place: place(),
                r_type,
                symbol: symbol_name(),
            });
        };
        let addend = relocation.r_addend.get(LE);
        let value = match reloc.expression {
            Expression::None => return Ok(()),
            Expression::Symbol => self.value(symbol, addend),
            Expression::Size => {
                let size = self.resolved.size(self.object, symbol);
                Some(size.wrapping_add_signed(addend))
            }
            Expression::TlsBlockOffset => {
                let start = self.layout.tls.as_ref().map_or(0, |tls| tls.memory.start);
                let value = self.value(symbol, addend);
                value.map(|value| value.wrapping_sub(start))
            }
            _ => {
                return Err(Error::DebugRelocation {
                    place: self.resolved.place(self.object, self.section, offset),
                    relocation: reloc.name,
                    symbol: self.resolved.symbol_name(self.object, symbol),
                });
            }
        };
        let place = || self.resolved.place(self.object, self.section, offset);
        let value = value.unwrap_or(self.tombstone);
        // What is not loaded is at no address, so nothing is relative to one.
        let value = reloc.base.apply(value, offset, 0);
        if let Err(out_of_range) = reloc.range.check(value) {
            return Err(Error::Overflow {
                place: place(),
                relocation: reloc.name,
                symbol: self.resolved.symbol_name(self.object, symbol),
                value: out_of_range.value,
                range: out_of_range.range,
            });
        }
        let field = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(reloc.field.size())?;
            bytes.get_mut(start..end)
        });
        let Some(field) = field else {
            return Err(Error::OutsideSection {
                place: place(),
                relocation: reloc.name,
                symbol: self.resolved.symbol_name(self.object, symbol),
            });
        };
        reloc.field.write(field, value);
        Ok(())
    }

    /// `S + A`; `None` when it is of what is not in the image.
    fn value(&mut self, symbol: usize, addend: i64) -> Option<u64> {
        let own = &self.resolved.objects[self.object].symbols[symbol];
        if let Placement::Section(section) = own.placement
            && let Some(place) = self.places.get_mut(&(self.object, section))
        {
            let is_section = own.symbol_type == SymbolType::Section;
            return match place {
                Place::Whole { offset, .. } => {
                    Some((*offset + own.value).wrapping_add_signed(addend))
                }
                // A section's symbol says by the addend which of the strings is meant.
                Place::Pooled(pieces) if is_section => {
                    pieces.output(own.value.wrapping_add_signed(addend))
                }
                Place::Pooled(pieces) => {
                    Some(pieces.output(own.value)?.wrapping_add_signed(addend))
                }
            };
        }
        let target = self.resolved.described_target(self.object, symbol);
        (target != Target::Discarded).then(|| {
            let address = self.layout.target_address(self.resolved, target);
            address.wrapping_add_signed(addend)
        })
    }
}
