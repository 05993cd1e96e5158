//! `.eh_frame` and `.eh_frame_hdr`: the records of kept functions, and the table to find them by.
//!
//! Source: LSB Core 5.0, "The .eh_frame_hdr section".

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use farcall_arch::{Expression, Machine};
use farcall_image::{cie_form, shortest_fde};
use foldhash::fast::FixedState;
use object::elf::Rela64;
use object::endian::LittleEndian as LE;

use crate::error::{Error, Result};
use crate::input::{PC_BEGIN, Record, RecordKind, records};
use crate::resolve::{Resolved, Target};
use crate::scan::section_relocations;

/// The unwind records that enter the image, by the section that they come from.
#[derive(Debug, Default)]
pub(crate) struct UnwindTable {
    pub(crate) sections: Vec<UnwindSection>,
    /// The number of FDEs.
    pub(crate) n_fdes: usize,
}

/// Where a CIE goes: every object brings the same few, of which the image needs one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CiePlace {
    /// The index in [`UnwindTable::sections`].
    pub(crate) section: u32,
    /// From the start of what is kept of that section.
    pub(crate) output: u32,
}

/// The CIEs so far, by their bytes: what they refer to, and where they go.
type Cies<'a> = HashMap<&'a [u8], Vec<(Vec<Reference>, CiePlace)>, FixedState>;

/// A relocation in a record: its offset, type, target and addend.
type Reference = (u64, u32, Target, i64);

/// What is kept of one input `.eh_frame` section.
#[derive(Debug)]
pub(crate) struct UnwindSection {
    pub(crate) object: usize,
    pub(crate) section: usize,
    pub(crate) records: Vec<KeptRecord>,
    /// Bytes of all of them.
    pub(crate) size: u64,
}

/// A record that enters the image. Its numbers have 32 bits, because there is one for every function.
#[derive(Debug)]
pub(crate) struct KeptRecord {
    /// Where it is in the input section.
    start: u32,
    size: u32,
    /// Where it goes, from the start of what is kept of the section.
    output: u32,
    /// For an FDE, where its CIE goes.
    pub(crate) cie: Option<CiePlace>,
}

impl KeptRecord {
    /// Where it is in the input section.
    pub(crate) fn input(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.size as usize
    }

    /// Where it goes, from the start of what is kept of the section.
    pub(crate) fn output(&self) -> u64 {
        self.output.into()
    }
}

/// Bytes of `.eh_frame_hdr` before its table, and of each entry.
const HEADER_SIZE: u64 = 12;
const ENTRY_SIZE: u64 = 8;

impl UnwindTable {
    /// Chooses the records: an FDE goes when its function was discarded, a CIE when no FDE needs it.
    pub(crate) fn choose(resolved: &Resolved<'_>) -> Result<Self> {
        let mut table = Self::default();
        let mut cies = Cies::default();
        for (object_index, object) in resolved.objects.iter().enumerate() {
            for (section_index, section) in object.sections.iter().enumerate() {
                if section.is_eh_frame() && resolved.is_kept(object_index, section_index) {
                    table.choose_in(resolved, object_index, section_index, &mut cies)?;
                }
            }
        }
        Ok(table)
    }

    fn choose_in<'a>(
        &mut self,
        resolved: &'a Resolved<'_>,
        object: usize,
        section: usize,
        cies: &mut Cies<'a>,
    ) -> Result<()> {
        let input = &resolved.objects[object].sections[section];
        let malformed = |offset: usize, reason| Error::UnwindRecord {
            place: resolved.place(object, section, offset as u64),
            reason,
        };
        if u32::try_from(input.data.len()).is_err() {
            return Err(malformed(0, "its section is larger than 4 GiB"));
        }
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        let all = records(&input.data).map_err(|(offset, reason)| malformed(offset, reason))?;
        let relocations = sorted(resolved.machine, &input.relocations);
        let mut is_kept = vec![false; all.len()];
        for (index, record) in all.iter().enumerate() {
            let RecordKind::Fde { cie } = record.kind else {
                continue;
            };
            if is_live(resolved, object, section, record, &relocations)? {
                let found = all.binary_search_by_key(&cie, |record| record.range.start);
                let cie = found.ok().filter(|&cie| all[cie].kind == RecordKind::Cie);
                let cie = cie.ok_or_else(|| malformed(record.range.start, "it has no CIE"))?;
                is_kept[index] = true;
                is_kept[cie] = true;
                self.n_fdes += 1;
            }
        }
        let mut kept = Vec::<KeptRecord>::with_capacity(all.len());
        let mut output = 0;
        // By the CIE's offset, the size of what its FDEs name functions by.
        let mut function_sizes = HashMap::<usize, usize, FixedState>::default();
        // Where the section's own CIEs are, by their offsets in it, and where they go.
        let mut own_cies = Vec::<(usize, CiePlace)>::new();
        for (record, _) in all.into_iter().zip(is_kept).filter(|(_, is_kept)| *is_kept) {
            let start = record.range.start;
            let references = section_relocations(&relocations, &record.range);
            let head = section_relocations(&relocations, &(start..start + PC_BEGIN));
            if !head.iter().all(|entry| is_none(resolved.machine, entry)) {
                return Err(malformed(
                    start,
                    "a relocation changes its length or its CIE",
                ));
            }
            let cie = match record.kind {
                RecordKind::Cie => {
                    let place = CiePlace {
                        section: narrow(self.sections.len()),
                        output: narrow(output),
                    };
                    let references = (references.iter())
                        .map(|entry| reference(resolved, object, start, entry))
                        .collect();
                    let bytes = &input.data[record.range.clone()];
                    let form = cie_form(bytes).ok_or_else(|| {
                        malformed(start, "a CIE of a form that unwinders do not read")
                    })?;
                    let personality = form.personality.unwrap_or(0..0);
                    let writes_elsewhere = |entry: &Rela64<LE>| {
                        let at = entry.r_offset.get(LE) - start as u64;
                        let reloc = resolved.machine.reloc(entry.r_type(LE, false).0);
                        let size = reloc.map_or(0, |reloc| reloc.field.size());
                        let is_pointer =
                            at == personality.start as u64 && size == personality.len();
                        !is_none(resolved.machine, entry) && !is_pointer
                    };
                    let own = section_relocations(&relocations, &record.range);
                    if own.iter().any(writes_elsewhere) {
                        return Err(malformed(start, "a relocation changes the form of a CIE"));
                    }
                    function_sizes.insert(start, form.function_distance_size);
                    let known = first_of(cies.entry(bytes).or_default(), references, place);
                    own_cies.push((start, known));
                    if known != place {
                        continue;
                    }
                    None
                }
                // A CIE comes before its FDEs, so it has its place already.
                RecordKind::Fde { cie } => {
                    let found = own_cies.binary_search_by_key(&cie, |&(start, _)| start);
                    let found = found.map_err(|_| malformed(start, "its CIE comes after it"))?;
                    if record.range.len() < shortest_fde(function_sizes[&cie]) {
                        return Err(malformed(
                            start,
                            "an FDE that does not say its function's size",
                        ));
                    }
                    Some(own_cies[found].1)
                }
            };
            let size = record.range.len();
            kept.push(KeptRecord {
                start: narrow(start),
                size: narrow(size),
                output: narrow(output),
                cie,
            });
            output += size;
        }
        if !kept.is_empty() {
            let size = output as u64;
            self.sections.push(UnwindSection {
                object,
                section,
                records: kept,
                size,
            });
        }
        Ok(())
    }

    /// The size of `.eh_frame_hdr` in bytes; 0 when there are no records.
    pub(crate) fn header_size(&self) -> u64 {
        if self.sections.is_empty() {
            0
        } else {
            HEADER_SIZE + ENTRY_SIZE * self.n_fdes as u64
        }
    }

    /// Writes `.eh_frame_hdr`. `functions` are the pairs (function, its FDE), by address.
    ///
    /// `None` when a distance does not fit 32 bits.
    pub(crate) fn header(
        address: u64,
        eh_frame: u64,
        functions: &mut [(u64, u64)],
    ) -> Option<Vec<u8>> {
        let distance = |to: u64, from: u64| i32::try_from(to.wrapping_sub(from).cast_signed()).ok();
        functions.sort_unstable();
        // Version 1; .eh_frame PC-relative, count and table as below.
        let mut bytes = vec![1, 0x1b, 0x03, 0x3b];
        bytes.extend(distance(eh_frame, address + 4)?.to_le_bytes());
        bytes.extend(u32::try_from(functions.len()).ok()?.to_le_bytes());
        for &(function, fde) in &*functions {
            bytes.extend(distance(function, address)?.to_le_bytes());
            bytes.extend(distance(fde, address)?.to_le_bytes());
        }
        Some(bytes)
    }
}

/// The place of the first CIE that refers to the same; `place` when this is it.
fn first_of(
    known: &mut Vec<(Vec<Reference>, CiePlace)>,
    references: Vec<Reference>,
    place: CiePlace,
) -> CiePlace {
    match known.iter().find(|(each, _)| *each == references) {
        Some(&(_, place)) => place,
        None => {
            known.push((references, place));
            place
        }
    }
}

fn reference(
    resolved: &Resolved<'_>,
    object: usize,
    start: usize,
    relocation: &Rela64<LE>,
) -> Reference {
    (
        relocation.r_offset.get(LE) - start as u64,
        relocation.r_type(LE, false).0,
        resolved.target(object, relocation.r_sym(LE, false) as usize),
        relocation.r_addend.get(LE),
    )
}

/// The relocations by place, as compilers write them; at one place those that change bytes come first.
pub(crate) fn sorted(machine: Machine, relocations: &[Rela64<LE>]) -> Cow<'_, [Rela64<LE>]> {
    let order = |relocation: &Rela64<LE>| {
        let place = relocation.r_offset.get(LE);
        (place, is_none(machine, relocation))
    };
    if relocations.is_sorted_by_key(order) {
        return Cow::Borrowed(relocations);
    }
    let mut relocations = relocations.to_vec();
    relocations.sort_by_key(order);
    Cow::Owned(relocations)
}

/// Whether a relocation changes no byte. `ld -r` leaves such in place of those into what it discarded, and
/// of those of records that it left out, wherever these ended.
fn is_none(machine: Machine, relocation: &Rela64<LE>) -> bool {
    let reloc = machine.reloc(relocation.r_type(LE, false).0);
    reloc.is_some_and(|reloc| reloc.expression == Expression::None)
}

/// Whether an FDE's function enters the image: the section that its `PC Begin` points into.
fn is_live(
    resolved: &Resolved<'_>,
    object: usize,
    section: usize,
    record: &Record,
    relocations: &[Rela64<LE>],
) -> Result<bool> {
    let malformed = |reason| Error::UnwindRecord {
        place: resolved.place(object, section, record.range.start as u64),
        reason,
    };
    let place = record.range.start + PC_BEGIN;
    let here = section_relocations(relocations, &(place..place + 1));
    let relocation = here
        .first()
        .ok_or_else(|| malformed("it names no function"))?;
    if is_none(resolved.machine, relocation) {
        return Ok(false);
    }
    // The object's own definition counts: where its copy lost, so did this record.
    match resolved.own_target(object, relocation.r_sym(LE, false) as usize) {
        Target::Section { .. } => Ok(true),
        Target::Discarded => Ok(false),
        _ => Err(malformed("its function is not in this object")),
    }
}
