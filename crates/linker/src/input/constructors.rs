//! Tables of constructors and destructors: their order, and those of the old form.
//!
//! `.ctors` runs from its end to its start and `.dtors` from its start to its end; `.init_array` and
//! `.fini_array` run the other way round. So a table of the old form becomes one of the new form by
//! turning its words round, and `.ctors.N` has the priority `65535 - N`.

use std::borrow::Cow;

use object::elf;
use object::endian::{LittleEndian as LE, U64};

use super::object::{ReadError, Section, malformed};

/// Bytes of a function pointer.
const WORD: usize = 8;

/// The order in which tables of one kind run, lowest first: the number after `.init_array.`, and the
/// ones without a number last.
pub(super) fn priority(name: &[u8]) -> u32 {
    number(name).unwrap_or(u32::MAX)
}

/// Turns a table of the old form into one of the new form; leaves other sections alone.
pub(super) fn modernise(section: &mut Section<'_>) -> Result<(), ReadError> {
    let (name, section_type): (&[u8], _) = match section.name.split(|&byte| byte == b'.').nth(1) {
        Some(b"ctors") => (b".init_array", elf::SHT_INIT_ARRAY),
        Some(b"dtors") => (b".fini_array", elf::SHT_FINI_ARRAY),
        _ => return Ok(()),
    };
    if !section.is_alloc() || section.section_type != elf::SHT_PROGBITS {
        return Ok(());
    }
    let size = section.data.len();
    if !size.is_multiple_of(WORD) {
        return malformed(format!(
            "{}: not a table of pointers",
            section.display_name()
        ));
    }
    let words: Vec<&[u8]> = section.data.chunks(WORD).rev().collect();
    section.data = Cow::Owned(words.concat());
    let last = (size as u64).saturating_sub(WORD as u64);
    for relocation in section.relocations.to_mut() {
        let offset = relocation.r_offset.get(LE);
        // One that is in no word of the table is refused when it is scanned.
        let mirrored = last.checked_sub(offset).unwrap_or(u64::MAX);
        relocation.r_offset = U64::new(LE, mirrored);
    }
    let old = number(section.name).map(|number| 65535_u32.saturating_sub(number));
    section.priority = old.unwrap_or(u32::MAX);
    section.name = name;
    section.section_type = section_type;
    Ok(())
}

/// The number after the last dot of a name.
fn number(name: &[u8]) -> Option<u32> {
    let number = name.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_without_a_priority_come_last() {
        assert!(priority(b".init_array.00101") < priority(b".init_array.65535"));
        assert!(priority(b".init_array.65535") < priority(b".init_array"));
    }
}
