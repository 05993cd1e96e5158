//! The dynamic table and the relocation tables that it names.

use std::ops::Range;

use farcall_arch::{Expression, Field, Machine};
use object::elf::{self, Dyn64, Rela64};
use object::endian::{LittleEndian as LE, U64};

use crate::image::DynamicRelocation;
use crate::{Error, Result};

/// What the dynamic table says. Addresses and sizes in bytes, unchecked.
#[derive(Debug, Default)]
pub(crate) struct DynamicTable {
    pub(crate) symbols: Option<u64>,
    pub(crate) strings: Option<u64>,
    pub(crate) strings_size: u64,
    pub(crate) hash: Option<u64>,
    pub(crate) rela: Table,
    pub(crate) relr: Table,
    pub(crate) init_array: Table,
    pub(crate) fini_array: Table,
}

/// A table's address and size in bytes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) start: u64,
    pub(crate) size: u64,
}

impl Table {
    /// The addresses, half-open; `None` when they wrap or do not hold whole entries.
    pub(crate) fn range(self, entry_size: u64) -> Option<Range<u64>> {
        let end = self.start.checked_add(self.size)?;
        self.size
            .is_multiple_of(entry_size)
            .then_some(self.start..end)
    }
}

impl DynamicTable {
    pub(crate) fn parse(entries: &[Dyn64<LE>]) -> Result<Self> {
        let mut table = Self::default();
        let corrupt = |index, reason| Error::CorruptEntry {
            what: "dynamic entry",
            index,
            reason,
        };
        for (index, entry) in entries.iter().enumerate() {
            let value = entry.d_val.get(LE);
            let expect = |expected: u64, reason| {
                if value == expected {
                    Ok(())
                } else {
                    Err(corrupt(index, reason))
                }
            };
            match entry.d_tag.get(LE) {
                elf::DT_NULL => return Ok(table),
                elf::DT_SYMTAB => table.symbols = Some(value),
                elf::DT_STRTAB => table.strings = Some(value),
                elf::DT_STRSZ => table.strings_size = value,
                elf::DT_GNU_HASH => table.hash = Some(value),
                elf::DT_RELA => table.rela.start = value,
                elf::DT_RELASZ => table.rela.size = value,
                elf::DT_RELR => table.relr.start = value,
                elf::DT_RELRSZ => table.relr.size = value,
                elf::DT_INIT_ARRAY => table.init_array.start = value,
                elf::DT_INIT_ARRAYSZ => table.init_array.size = value,
                elf::DT_FINI_ARRAY => table.fini_array.start = value,
                elf::DT_FINI_ARRAYSZ => table.fini_array.size = value,
                elf::DT_SYMENT => expect(24, "a symbol is not 24 bytes")?,
                elf::DT_RELAENT => expect(24, "a relocation is not 24 bytes")?,
                elf::DT_RELRENT => expect(8, "a RELR word is not 8 bytes")?,
                elf::DT_RELACOUNT | elf::DT_SONAME | elf::DT_FLAGS | elf::DT_FLAGS_1 => {}
                elf::DT_TEXTREL => {
                    return Err(Error::Unsupported {
                        what: "text relocations",
                    });
                }
                elf::DT_NEEDED => {
                    return Err(Error::Unsupported {
                        what: "needed libraries",
                    });
                }
                elf::DT_JMPREL => {
                    return Err(Error::Unsupported {
                        what: "lazy binding",
                    });
                }
                _ => return Err(corrupt(index, "its tag is not one that images have")),
            }
        }
        Err(Error::Corrupt {
            what: "dynamic table",
            reason: "it has no end",
        })
    }
}

/// The relocation that `entry` is; `None` when images do not have its kind.
pub(crate) fn relocation(machine: Machine, entry: &Rela64<LE>) -> Option<DynamicRelocation> {
    let info = entry.r_info.get(LE);
    let (symbol, r_type) = split_info(info);
    let reloc = machine.reloc(r_type)?;
    let served = matches!(
        reloc.expression,
        Expression::Relative
            | Expression::Symbol
            | Expression::GlobDat
            | Expression::TlsModule
            | Expression::TlsBlockOffset
            | Expression::TlsOffset
            | Expression::TlsDescriptorPair
            | Expression::IndirectRelative
    );
    (served && reloc.field == Field::Xword).then_some(DynamicRelocation {
        place: entry.r_offset.get(LE),
        expression: reloc.expression,
        symbol,
        addend: entry.r_addend.get(LE),
    })
}

/// `ELF64_R_SYM` and `ELF64_R_TYPE`.
fn split_info(info: u64) -> (u32, u32) {
    let bytes = info.to_le_bytes();
    let [t0, t1, t2, t3, s0, s1, s2, s3] = bytes;
    (
        u32::from_le_bytes([s0, s1, s2, s3]),
        u32::from_le_bytes([t0, t1, t2, t3]),
    )
}

/// The addresses that one word of a RELR table stands for: `base`, and 8 bytes more for each bit further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RelrWord {
    base: u64,
    bitmap: u64,
}

impl RelrWord {
    /// The addresses, ascending. Wraps on overflow.
    pub(crate) fn addresses(self) -> impl Iterator<Item = u64> {
        SetBits(self.bitmap).map(move |bit| self.base.wrapping_add(8 * u64::from(bit)))
    }

    /// The addresses from the first word to the end of the last one. Wraps on overflow; empty for no
    /// address.
    pub(crate) fn span(self) -> Range<u64> {
        let address = |bit: u32| self.base.wrapping_add(8 * u64::from(bit));
        let end = u64::BITS - self.bitmap.leading_zeros();
        address(self.bitmap.trailing_zeros().min(end))..address(end)
    }
}

/// What the words of a RELR table stand for. gABI, "Relative Relocation Table": an even word is
/// an address; an odd one a bitmap of the 63 words after the last address covered. Wraps on
/// overflow; the caller checks the addresses.
pub(crate) fn relr_words(words: &[U64<LE>]) -> impl Iterator<Item = RelrWord> + '_ {
    let mut next = 0_u64;
    words.iter().map(move |word| {
        let word = word.get(LE);
        let (base, bitmap) = if word & 1 == 0 {
            next = word.wrapping_add(8);
            (word, 1)
        } else {
            let base = next;
            next = next.wrapping_add(63 * 8);
            (base, word >> 1)
        };
        RelrWord { base, bitmap }
    })
}

/// All addresses that a RELR table stands for; as [`relr_words`].
pub(crate) fn relr_addresses(words: &[U64<LE>]) -> impl Iterator<Item = u64> + '_ {
    relr_words(words).flat_map(RelrWord::addresses)
}

/// The indices of the set bits of a word, ascending.
struct SetBits(u64);

impl Iterator for SetBits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relr_words_are_addresses_and_bitmaps() {
        let words: Vec<U64<LE>> = [0x1000, 0b101 << 1 | 1, 1 << 63 | 1, 0x8000]
            .map(|word| U64::new(LE, word))
            .into();
        let addresses: Vec<u64> = relr_addresses(&words).collect();
        assert_eq!(
            addresses,
            [0x1000, 0x1008, 0x1018, 0x1008 + 63 * 8 + 62 * 8, 0x8000]
        );
    }

    #[test]
    fn a_relr_word_spans_its_addresses() {
        let words: Vec<U64<LE>> = [0x1000, 0b10100 << 1 | 1, 1, 1 << 63 | 1, u64::MAX - 1]
            .map(|word| U64::new(LE, word))
            .into();
        let spans: Vec<(u64, u64)> = relr_words(&words)
            .map(|word| (word.span().start, word.span().end))
            .collect();
        let second = 0x1008_u64 + 2 * 63 * 8;
        assert_eq!(
            spans,
            [
                (0x1000, 0x1008),
                (0x1018, 0x1030),
                (0x1008 + 63 * 8, 0x1008 + 63 * 8),
                (second + 62 * 8, second + 63 * 8),
                (u64::MAX - 1, 6),
            ]
        );
    }
}
