//! The image's GNU properties, of those of its objects.
//!
//! Source: Linux Extensions to gABI, "Program Property".

use std::collections::BTreeMap;

use farcall_arch::Machine;
use object::elf;

use crate::input::{Object, Property};
use crate::types::note;

/// A note's header and owner.
const HEADER_SIZE: u64 = 16;
/// Kind, size of the value, value and padding, 4 bytes each.
const PROPERTY_SIZE: u64 = 16;

/// The properties that hold for all that these objects are linked to, by kind.
pub(crate) fn combined(machine: Machine, objects: &[Object<'_>]) -> Vec<Property> {
    let stated = (objects.iter()).filter_map(|object| object.properties.as_deref());
    let mut each = stated.map(of_object);
    let mut combined = each.next().unwrap_or_default();
    for other in each {
        let kinds: Vec<u32> = combined.keys().chain(other.keys()).copied().collect();
        for kind in kinds {
            let values = (combined.remove(&kind), other.get(&kind).copied());
            let rule = machine.property_rule(kind);
            if let Some(value) = rule.and_then(|rule| rule.combine(values.0, values.1)) {
                combined.insert(kind, value);
            }
        }
    }
    (combined.into_iter())
        .filter(|&(_, value)| value != 0)
        .map(|(kind, value)| Property { kind, value })
        .collect()
}

/// What one object says, which may say parts of it in several notes.
fn of_object(properties: &[Property]) -> BTreeMap<u32, u32> {
    let mut values = BTreeMap::new();
    for property in properties {
        *values.entry(property.kind).or_default() |= property.value;
    }
    values
}

/// Whether what these properties are of must have a landing pad wherever an indirect branch may end.
pub(crate) fn needs_landing_pads(machine: Machine, properties: &[Property]) -> bool {
    (properties.iter()).any(|property| machine.needs_landing_pads(property.kind, property.value))
}

/// The size in bytes of the note of these properties; 0 when there are none.
pub(crate) fn note_size(properties: &[Property]) -> u64 {
    match properties.len() as u64 {
        0 => 0,
        n => HEADER_SIZE + PROPERTY_SIZE * n,
    }
}

/// The note of these properties.
pub(crate) fn property_note(
    machine: Machine,
    properties: &[Property],
    has_thunks: bool,
) -> Vec<u8> {
    let mut descriptor = Vec::new();
    for property in properties {
        let unheld = if has_thunks {
            machine.without_thunks(property.kind)
        } else {
            0
        };
        let (value_size, padding) = (4_u32, 0_u32);
        for word in [property.kind, value_size, property.value & !unheld, padding] {
            descriptor.extend(word.to_le_bytes());
        }
    }
    note(b"GNU\0", elf::NT_GNU_PROPERTY_TYPE_0.0, &descriptor)
}
