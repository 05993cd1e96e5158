//! Pairs of instructions that load an address from the GOT, where they may compute it instead.
//!
//! One instruction takes the page of the GOT entry, the next loads the entry. A compiler may also
//! have one page serve several loads, or paths that take it in different places meet before a load: so
//! a section is left alone unless all of its pages and loads stand in pairs.
//!
//! Source: AAELF64, "Relocation optimization".

use farcall_arch::{Relaxation, Reloc};
use object::elf::Rela64;
use object::endian::LittleEndian as LE;

use crate::resolve::Resolved;

/// For each of a section's relocations, whether it and the one after it are of a pair that computes
/// the address; shorter or empty when no more are. Scanning and applying must agree, so both ask here.
pub(crate) fn got_pairs(
    resolved: &Resolved<'_>,
    object: usize,
    section: usize,
    relocations: &[Rela64<LE>],
) -> Vec<bool> {
    let mut pairs = Vec::new();
    if !resolved.machine.has_got_pairs() {
        return pairs;
    }
    let mut index = 0;
    while let Some(first) = relocations.get(index) {
        match relaxation(resolved, first) {
            Relaxation::GotPage => {
                let second = relocations.get(index + 1);
                let Some(second) = second.filter(|second| are_neighbours(resolved, first, second))
                else {
                    return Vec::new();
                };
                pairs.resize(index, false);
                pairs.push(may_compute(resolved, object, section, [first, second]));
                index += 2;
            }
            Relaxation::GotPageLoad => return Vec::new(),
            Relaxation::None | Relaxation::GotLoad | Relaxation::GotLoadOrBranch => index += 1,
        }
    }
    pairs
}

fn relaxation(resolved: &Resolved<'_>, relocation: &Rela64<LE>) -> Relaxation {
    let reloc = resolved.machine.reloc(relocation.r_type(LE, false).0);
    reloc.map_or(Relaxation::None, |Reloc { relaxation, .. }| relaxation)
}

/// Whether the second is the load that belongs to the page that the first takes.
fn are_neighbours(resolved: &Resolved<'_>, first: &Rela64<LE>, second: &Rela64<LE>) -> bool {
    let offset = |relocation: &Rela64<LE>| relocation.r_offset.get(LE);
    relaxation(resolved, second) == Relaxation::GotPageLoad
        && offset(first).checked_add(4) == Some(offset(second))
        && first.r_sym(LE, false) == second.r_sym(LE, false)
}

/// Whether the address is one of the image, all of it is wanted, and the instructions have such a form.
fn may_compute(
    resolved: &Resolved<'_>,
    object: usize,
    section: usize,
    pair: [&Rela64<LE>; 2],
) -> bool {
    let symbol = pair[0].r_sym(LE, false) as usize;
    let section = &resolved.objects[object].sections[section];
    let code = usize::try_from(pair[0].r_offset.get(LE))
        .ok()
        .and_then(|offset| section.data.get(offset..)?.first_chunk());
    let target = resolved.target(object, symbol);
    pair.iter()
        .all(|relocation| relocation.r_addend.get(LE) == 0)
        && target.is_in_image()
        && !resolved.is_far(target)
        && !resolved.is_indirect(object, symbol)
        && code.is_some_and(|code| resolved.machine.relax_got_pair(&mut { *code }).is_some())
}
