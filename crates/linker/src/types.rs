//! The manifest: types that the compiler left in the objects, and who refers to the imports.
//!
//! The compiler writes a section that is not loaded, `.farcall.types`: records of a symbol name and its
//! type in LLVM's syntax, of which each ends in a zero byte.

use std::collections::HashMap;

use farcall_image::{Manifest, Referrer};
use foldhash::fast::FixedState;

use crate::cpu::Cpus;
use crate::input::{NamedPlaces, Object};
use crate::resolve::{Definition, Resolved};
use crate::scan::Scanned;
use crate::synthetic::DynamicSymbols;

const PRODUCER: &str = concat!("farcall ", env!("CARGO_PKG_VERSION"));

/// The manifest's note: its header and its descriptor, padded.
pub(crate) fn manifest(
    resolved: &Resolved<'_>,
    scanned: &Scanned,
    dynamic_symbols: &DynamicSymbols,
    cpus: &Cpus,
) -> Vec<u8> {
    let (types, symbol_types) = symbol_types(resolved, dynamic_symbols);
    let mut named_places = HashMap::<usize, NamedPlaces<'_, '_>, FixedState>::default();
    let places: Vec<(u32, String, String)> = (scanned.imports.iter())
        .map(|import| {
            let object = &resolved.objects[import.object];
            let places = named_places
                .entry(import.object)
                .or_insert_with(|| object.named_places());
            let place = places.name(import.section, import.offset);
            (
                dynamic_symbols.index(import.global),
                file_name(&object.name).to_owned(),
                place,
            )
        })
        .collect();
    let referrers = places.iter().map(|(symbol, object, place)| Referrer {
        symbol: *symbol,
        object,
        place,
    });
    let manifest = Manifest {
        producer: PRODUCER,
        cpus: &cpus.names,
        requires: cpus.requires.bits(),
        requires_unnumbered: &cpus.unnumbered,
        types,
        symbol_types,
        referrers: referrers.collect(),
    };
    note(
        farcall_image::NOTE_OWNER,
        farcall_image::NOTE_TYPE_MANIFEST,
        &manifest.encode(),
    )
}

/// A note: gABI, "Note Section".
pub(crate) fn note(owner: &[u8], note_type: u32, descriptor: &[u8]) -> Vec<u8> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut note = Vec::new();
    note.extend(size(owner));
    note.extend(size(descriptor));
    note.extend(note_type.to_le_bytes());
    for bytes in [owner, descriptor] {
        note.extend(bytes);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}

/// The distinct types, and for each dynamic symbol 1 + the index of its type, or 0.
fn symbol_types<'a>(
    resolved: &'a Resolved<'_>,
    dynamic_symbols: &DynamicSymbols,
) -> (Vec<&'a str>, Vec<u32>) {
    let mut found: Vec<Option<(&str, bool)>> = vec![None; dynamic_symbols.len()];
    let mut indices: HashMap<&[u8], usize, FixedState> = HashMap::default();
    let sections = resolved
        .objects
        .iter()
        .enumerate()
        .flat_map(|(index, object)| {
            sections_named(object, b".farcall.types").map(move |data| (index, data))
        });
    for (object, data) in sections {
        if indices.is_empty() {
            let names = dynamic_symbols
                .order
                .iter()
                .map(|&id| resolved.globals[id].name);
            indices = names.zip(1..).collect();
        }
        for (name, value_type) in records(data) {
            let Some(&index) = indices.get(name.as_bytes()) else {
                continue;
            };
            let id = dynamic_symbols.order[index - 1];
            let definition = resolved.globals[id].definition;
            let defines = matches!(definition, Definition::Symbol { object: definer, .. } if definer == object);
            // What the defining object says is what counts; else who says it first.
            if found[index].is_none_or(|(_, is_definers)| defines && !is_definers) {
                found[index] = Some((value_type, defines));
            }
        }
    }
    let mut types = Vec::new();
    let mut type_indices: HashMap<&str, u32, FixedState> = HashMap::default();
    let symbol_types = (found.into_iter())
        .map(|found| {
            let Some((value_type, _)) = found else {
                return 0;
            };
            *type_indices.entry(value_type).or_insert_with(|| {
                types.push(value_type);
                u32::try_from(types.len()).unwrap_or(0)
            })
        })
        .collect();
    (types, symbol_types)
}

/// The bytes of every section of this name in an object that is not loaded.
pub(crate) fn sections_named<'a>(
    object: &'a Object<'_>,
    name: &'static [u8],
) -> impl Iterator<Item = &'a [u8]> {
    let sections = object.sections.iter();
    sections
        .filter(move |section| section.name == name && !section.is_alloc())
        .map(|section| &*section.data)
}

/// The pairs of texts that end in a zero byte each; what is not text is skipped.
pub(crate) fn records(data: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = data.split(|&byte| byte == 0);
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?))).filter_map(|(name, text)| {
        Some((
            std::str::from_utf8(name).ok()?,
            std::str::from_utf8(text).ok()?,
        ))
    })
}

/// The part of a path after its last separator, so that an image does not depend on folders.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
