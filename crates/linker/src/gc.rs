//! Leaving out the sections that nothing needs.
//!
//! What is needed: exported definitions, constructors and destructors, sections that ask to be kept,
//! and whatever those refer to. The unwind records of a function are needed with it, and with them
//! what they refer to. The members of a group are kept or left out together, and what describes a section
//! (`SHF_LINK_ORDER`) with that: gABI, "Section Groups" and "Section Attribute Flags".

use object::elf;
use object::endian::LittleEndian as LE;

use crate::error::{Error, Result};
use crate::input::{PC_BEGIN, RecordKind, records};
use crate::output::is_array;
use crate::resolve::{Resolved, Target};
use crate::scan::section_relocations;
use crate::synthetic::{bounded_section, sorted};

/// Marks what is needed, and discards the other sections.
pub(crate) fn collect_garbage(resolved: &mut Resolved<'_>) -> Result<()> {
    let mut marker = Marker {
        resolved,
        is_live: (resolved.objects.iter())
            .map(|object| vec![false; object.sections.len()])
            .collect(),
        unwind: unwind_references(resolved)?,
        companions: companions(resolved),
        pending: Vec::new(),
    };
    marker.mark_roots();
    marker.mark_reached();
    let is_live = marker.is_live;
    resolved.retain(&is_live);
    Ok(())
}

/// A section: its object's index and its own.
type SectionKey = (usize, usize);

struct Marker<'a, 'data> {
    resolved: &'a Resolved<'data>,
    is_live: Vec<Vec<bool>>,
    /// For each section of code, sorted by it, what its unwind records refer to.
    unwind: Vec<(SectionKey, Target)>,
    /// For each section, sorted by it, those of its object that are needed when it is.
    companions: Vec<(SectionKey, usize)>,
    pending: Vec<SectionKey>,
}

impl Marker<'_, '_> {
    fn mark_roots(&mut self) {
        let resolved = self.resolved;
        for id in (0..resolved.globals.len()).filter(|&id| resolved.is_export(id)) {
            self.mark(resolved.defined_target(id));
        }
        // Names that someone mentions as `__start_NAME` mean all sections of that name.
        let bounded: Vec<&[u8]> = resolved
            .globals
            .iter()
            .filter_map(|global| bounded_section(global.name))
            .collect();
        for (object_index, object) in resolved.objects.iter().enumerate() {
            for (index, section) in object.sections.iter().enumerate() {
                let is_root = is_array(section)
                    || section.has_flag(elf::SHF_GNU_RETAIN)
                    || section.section_type == elf::SHT_NOTE
                    // What describes others is of no use without them.
                    || section.describes.is_none() && bounded.contains(&section.name);
                if is_root && resolved.is_kept(object_index, index) {
                    self.mark_section((object_index, index));
                }
            }
        }
    }

    fn mark_reached(&mut self) {
        while let Some(key) = self.pending.pop() {
            let (object, section) = key;
            for relocation in self.resolved.objects[object].sections[section]
                .relocations
                .iter()
            {
                self.mark(
                    self.resolved
                        .target(object, relocation.r_sym(LE, false) as usize),
                );
            }
            for index in run(&self.unwind, key) {
                self.mark(self.unwind[index].1);
            }
            for index in run(&self.companions, key) {
                self.mark_section((object, self.companions[index].1));
            }
        }
    }

    fn mark(&mut self, target: Target) {
        if let Target::Section {
            object, section, ..
        } = target
        {
            self.mark_section((object, section));
        }
    }

    fn mark_section(&mut self, (object, section): SectionKey) {
        if !std::mem::replace(&mut self.is_live[object][section], true) {
            self.pending.push((object, section));
        }
    }
}

/// The indices of a section's entries in a list that is sorted by section.
fn run<T>(list: &[(SectionKey, T)], key: SectionKey) -> std::ops::Range<usize> {
    list.partition_point(|(each, _)| *each < key)..list.partition_point(|(each, _)| *each <= key)
}

/// What the unwind records of each section of code refer to beside the code: personality routines
/// and their tables.
fn unwind_references(resolved: &Resolved<'_>) -> Result<Vec<(SectionKey, Target)>> {
    let mut references = Vec::new();
    for (object_index, object) in resolved.objects.iter().enumerate() {
        for (section_index, section) in object.sections.iter().enumerate() {
            if !section.is_eh_frame() || !resolved.is_kept(object_index, section_index) {
                continue;
            }
            let all = records(&section.data).map_err(|(offset, reason)| Error::UnwindRecord {
                place: resolved.place(object_index, section_index, offset as u64),
                reason,
            })?;
            let relocations = sorted(resolved.machine, &section.relocations);
            let targets = |range: &std::ops::Range<usize>| {
                let relocations = section_relocations(&relocations, range).iter();
                relocations.map(|entry| {
                    let symbol = entry.r_sym(LE, false) as usize;
                    (
                        entry.r_offset.get(LE),
                        resolved.target(object_index, symbol),
                    )
                })
            };
            for record in &all {
                let RecordKind::Fde { cie } = record.kind else {
                    continue;
                };
                let begin = (record.range.start + PC_BEGIN) as u64;
                let code = targets(&record.range).find(|&(place, _)| place == begin);
                let Some((
                    _,
                    Target::Section {
                        object, section, ..
                    },
                )) = code
                else {
                    continue;
                };
                let cie = all.binary_search_by_key(&cie, |record| record.range.start);
                let cie = cie
                    .ok()
                    .map(|index| all[index].range.clone())
                    .unwrap_or(0..0);
                let others = targets(&record.range).filter(|&(place, _)| place != begin);
                let found = others.chain(targets(&cie)).map(|(_, target)| target);
                references.extend(found.map(|target| ((object, section), target)));
            }
        }
    }
    references.sort_by_key(|&(key, _)| key);
    Ok(references)
}

/// For each section, those of its object that are needed when it is: the others of its group, and what
/// describes it.
fn companions(resolved: &Resolved<'_>) -> Vec<(SectionKey, usize)> {
    let mut companions = Vec::new();
    for (object_index, object) in resolved.objects.iter().enumerate() {
        let mut add = |section, companion| {
            if resolved.is_kept(object_index, section) && resolved.is_kept(object_index, companion)
            {
                companions.push(((object_index, section), companion));
            }
        };
        for group in &object.groups {
            // A ring is enough: from any member it reaches all.
            let next = group.members.iter().cycle().skip(1);
            for (&member, &next) in group.members.iter().zip(next) {
                add(member, next);
            }
        }
        for (index, section) in object.sections.iter().enumerate() {
            if let Some(described) = section.describes {
                add(described, index);
            }
        }
    }
    companions.sort_unstable();
    companions
}
