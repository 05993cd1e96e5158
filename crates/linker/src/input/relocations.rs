//! The relocations of an object, in whichever form it holds them.
//!
//! All become `SHT_RELA`'s form. `SHT_REL` keeps the addends in the bytes to relocate, `SHT_CREL` packs
//! the entries. Source: gABI, "Relocation" and "Compact relocation".

use std::borrow::Cow;

use farcall_arch::Machine;
use object::elf::{self, FileHeader64, Rela64, SectionHeader64};
use object::endian::{I64, LittleEndian as LE, U64};
use object::read::elf::{Crel, SectionHeader as _, SectionTable};

use super::object::{ReadError, Section, malformed};
use crate::error::Error;

/// Gives each section the relocations that another section holds for it.
pub(super) fn attach<'data>(
    name: &str,
    machine: Machine,
    table: &SectionTable<'data, FileHeader64<LE>>,
    bytes: &'data [u8],
    sections: &mut [Section<'data>],
    n_symbols: usize,
) -> Result<(), ReadError> {
    for header in table.iter() {
        if header.sh_type.get(LE) == elf::SHT_RELR {
            let error = Error::RelocationForm {
                object: name.to_owned(),
                form: "SHT_RELR",
            };
            return Err(error.into());
        }
        let is_table = matches!(
            header.sh_type.get(LE),
            elf::SHT_RELA | elf::SHT_REL | elf::SHT_CREL
        );
        let target = usize::try_from(header.sh_info.get(LE)).unwrap_or(usize::MAX);
        let is_linked = |section: &Section<'_>| section.is_alloc() || section.is_debug_info;
        // What is not linked may be relocated as it likes.
        if !is_table || (target != 0 && !sections.get(target).is_none_or(is_linked)) {
            continue;
        }
        let Some(section) = sections.get_mut(target).filter(|_| target != 0) else {
            return malformed(format!(
                "relocations for section {target}, which does not exist"
            ));
        };
        let relocations = read(machine, header, bytes, section)?;
        if !section.relocations.is_empty() {
            return malformed(format!("{}: two relocation tables", section.display_name()));
        }
        let past = |entry: &&Rela64<LE>| {
            usize::try_from(entry.r_sym(LE, false)).is_ok_and(|symbol| symbol >= n_symbols)
        };
        if let Some(entry) = relocations.iter().find(past) {
            let (section, symbol) = (section.display_name(), entry.r_sym(LE, false));
            return malformed(format!(
                "{section}: a relocation against symbol {symbol}, which does not exist"
            ));
        }
        section.relocations = relocations;
    }
    Ok(())
}

fn read<'data>(
    machine: Machine,
    header: &SectionHeader64<LE>,
    bytes: &'data [u8],
    section: &Section<'_>,
) -> Result<Cow<'data, [Rela64<LE>]>, ReadError> {
    if let Some((relocations, _)) = header.rela(LE, bytes)? {
        return Ok(Cow::Borrowed(relocations));
    }
    if let Some((relocations, _)) = header.rel(LE, bytes)? {
        let entries = relocations.iter().map(|entry| Crel::from_rel(entry, LE));
        let entries = entries.map(|entry| with_own_addend(machine, section, entry));
        return Ok(Cow::Owned(entries.collect()));
    }
    if let Some((relocations, _)) = header.crel(LE, bytes)? {
        let has_addends = relocations.is_rela();
        let mut entries = Vec::new();
        for entry in relocations {
            let entry = entry?;
            entries.push(if has_addends {
                rela(entry)
            } else {
                with_own_addend(machine, section, entry)
            });
        }
        return Ok(Cow::Owned(entries));
    }
    Ok(Cow::Borrowed(&[]))
}

/// The entry with the addend that the bytes at its place hold. What lies outside its section, or has
/// an unknown type, is refused when it is scanned.
fn with_own_addend(machine: Machine, section: &Section<'_>, mut entry: Crel) -> Rela64<LE> {
    let field = machine.reloc(entry.r_type.0).map(|reloc| reloc.field);
    let place = usize::try_from(entry.r_offset)
        .ok()
        .and_then(|offset| section.data.get(offset..));
    entry.r_addend = match (field, place) {
        (Some(field), Some(place)) if place.len() >= field.size() => field.read(place),
        _ => 0,
    };
    rela(entry)
}

fn rela(entry: Crel) -> Rela64<LE> {
    Rela64 {
        r_offset: U64::new(LE, entry.r_offset),
        r_info: U64::new(LE, u64::from(entry.r_sym) << 32 | u64::from(entry.r_type.0)),
        r_addend: I64::new(LE, entry.r_addend),
    }
}
