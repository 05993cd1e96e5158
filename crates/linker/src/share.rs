//! Which definitions of the image others of its scope may have instead: what is weak, if all that refers to it can be bound when the image
//! is loaded.
//!
//! Code that was made for an executable has the distance to a variable in it, and must have that variable. So it stays the image's
//! own, to itself; others may still mean it. A group is of one piece: a variable that is another image's, with a guard that is not,
//! would be initialized twice.

use farcall_arch::{Base, Expression, Field};
use object::elf;
use object::endian::LittleEndian as LE;

use crate::input::{Placement, SymbolType, Visibility};
use crate::resolve::{Definition, Resolved};

/// Decides it. Nothing may be discarded or merged after that.
pub(crate) fn share(resolved: &mut Resolved<'_>) {
    let mut is_shared: Vec<_> = (0..resolved.globals.len())
        .map(|id| may_be_shared(resolved, id))
        .collect();
    keep_what_is_near(resolved, &mut is_shared);
    keep_groups_whole(resolved, &mut is_shared);
    resolved.set_shared(is_shared);
}

/// Whether it is weak, and others see it.
fn may_be_shared(resolved: &Resolved<'_>, id: usize) -> bool {
    let global = &resolved.globals[id];
    let Definition::Symbol { object, symbol } = global.definition else {
        return false;
    };
    let symbol = &resolved.objects[object].symbols[symbol];
    resolved.is_weak(id)
        && resolved.is_export(id)
        // What is protected is the image's own by its declaration.
        && global.visibility != Visibility::Protected
        && !resolved.is_runtime(object)
        && matches!(symbol.placement, Placement::Section(_) | Placement::Merged(_))
        && symbol.symbol_type != SymbolType::IndirectFunction
}

/// Leaves out what a relocation needs in this image.
fn keep_what_is_near(resolved: &Resolved<'_>, is_shared: &mut [bool]) {
    for (index, object) in resolved.objects.iter().enumerate() {
        for (section_index, section) in object.sections.iter().enumerate() {
            if !resolved.is_kept(index, section_index) {
                continue;
            }
            let is_word = section.has_flag(elf::SHF_WRITE) && !section.is_eh_frame();
            for relocation in section.relocations.iter() {
                let id = resolved.global_id(index, relocation.r_sym(LE, false) as usize);
                let Some(id) = id.filter(|&id| is_shared[id]) else {
                    continue;
                };
                let r_type = relocation.r_type(LE, false).0;
                let reloc = resolved.machine.reloc(r_type);
                is_shared[id] = reloc.is_some_and(|reloc| match reloc.expression {
                    Expression::None
                    | Expression::Plt
                    | Expression::GotEntry
                    | Expression::TlsPair
                    | Expression::TlsDescriptor
                    | Expression::TlsDescriptorMark => true,
                    Expression::Symbol => {
                        reloc.base == Base::Absolute && reloc.field == Field::Xword && is_word
                    }
                    _ => false,
                });
            }
        }
    }
}

/// Leaves out what is in a group with something that was left out.
fn keep_groups_whole(resolved: &Resolved<'_>, is_shared: &mut [bool]) {
    for (index, object) in resolved.objects.iter().enumerate() {
        if object.groups.is_empty() {
            continue;
        }
        let mut groups = vec![None; object.sections.len()];
        for (group, members) in object.groups.iter().enumerate() {
            for &member in &members.members {
                groups[member] = Some(group);
            }
        }
        // What this object has in its groups, if it is what the image has.
        let defined = (object.first_global..object.symbols.len()).filter_map(|symbol| {
            let Placement::Section(section) = object.symbols[symbol].placement else {
                return None;
            };
            let id = resolved.global_id(index, symbol)?;
            let is_definition = resolved.globals[id].definition
                == Definition::Symbol {
                    object: index,
                    symbol,
                };
            Some((groups[section].filter(|_| is_definition)?, id))
        });
        let defined: Vec<_> = defined.collect();
        let mut is_whole = vec![true; object.groups.len()];
        for &(group, id) in &defined {
            is_whole[group] &= is_shared[id] || !resolved.is_weak(id);
        }
        for (group, id) in defined {
            is_shared[id] &= is_whole[group];
        }
    }
}
