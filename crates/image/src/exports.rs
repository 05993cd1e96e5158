//! Looking up exported names: the GNU hash table.
//!
//! Source: the format has no specification; glibc's `elf/dl-lookup.c` and the GNU linker's
//! `--hash-style=gnu` define it. All tables lie in the image's first segment, which starts at
//! file offset 0 and address 0, so the same offsets are good in the file and in memory.

use std::ffi::CStr;
use std::ops::Range;

use object::elf::Sym64;
use object::endian::{LittleEndian as LE, U32, U64};
use object::pod::slice_from_all_bytes;

use crate::Symbol;
use crate::error::{Error, Result};

/// Where the tables for looking up names lie: byte ranges in the first segment, or in a copy of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExportTables {
    pub(crate) symbols: Range<usize>,
    pub(crate) strings: Range<usize>,
    bloom: Range<usize>,
    bloom_shift: u32,
    buckets: Range<usize>,
    chain: Range<usize>,
    /// The first symbol that the hash table covers: imports stand before it, exports from it on.
    first_export: u32,
}

/// The exported names of an image, over its bytes or over its first segment in memory.
///
/// A lookup reads at most one bloom word, one bucket and a chain; it takes no lock and allocates
/// nothing.
#[derive(Debug, Clone, Copy)]
pub struct Exports<'data> {
    strings: &'data [u8],
    symbols: &'data [Sym64<LE>],
    bloom: &'data [U64<LE>],
    bloom_shift: u32,
    buckets: &'data [U32<LE>],
    chain: &'data [U32<LE>],
    first_export: u32,
}

impl ExportTables {
    /// All bytes that it names, with what is between them.
    pub(crate) fn range(&self) -> Range<usize> {
        let tables = [
            &self.symbols,
            &self.strings,
            &self.bloom,
            &self.buckets,
            &self.chain,
        ];
        let start = tables.iter().map(|table| table.start).min().unwrap_or(0);
        let end = tables.iter().map(|table| table.end).max().unwrap_or(0);
        start..end
    }

    /// Where the last byte of a table ends that a lookup in `exports`, made of these tables, may read. What
    /// the string table has besides names is not proven to be its own.
    pub(crate) fn end_in_use(&self, exports: &Exports<'_>) -> usize {
        let names = exports.symbols.iter().skip(1);
        // The name that starts last is the one that ends last: a string ends at the first zero.
        let last = names.map(|symbol| symbol.st_name.get(LE)).max();
        let last = last.and_then(|start| Some(to_usize(start) + exports.string(start)?.len() + 1));
        let strings_end = self.strings.start + last.unwrap_or(0);
        let ends = [self.symbols.end, strings_end, self.chain.end];
        ends.into_iter().max().unwrap_or(0)
    }

    /// The tables in bytes that start `by` later.
    pub(crate) fn moved(&self, by: usize) -> Self {
        let moved = |range: &Range<usize>| range.start - by..range.end - by;
        Self {
            symbols: moved(&self.symbols),
            strings: moved(&self.strings),
            bloom: moved(&self.bloom),
            buckets: moved(&self.buckets),
            chain: moved(&self.chain),
            ..*self
        }
    }

    /// Checks the hash table at `hash..end` of `bytes` and finds where the symbol table ends.
    pub(crate) fn parse(
        bytes: &[u8],
        symbols_start: usize,
        strings: Range<usize>,
        hash: usize,
    ) -> Result<Self> {
        let corrupt = |reason| Error::Corrupt {
            what: "GNU hash table",
            reason,
        };
        let word = |at: usize| -> Result<u32> {
            let bytes = at.checked_add(4).and_then(|end| bytes.get(at..end));
            let bytes = bytes.and_then(|bytes| bytes.first_chunk());
            Ok(u32::from_le_bytes(
                *bytes.ok_or(corrupt("it leaves the first segment"))?,
            ))
        };
        let table = |start: usize, count: u32, size: usize| -> Result<Range<usize>> {
            let end = usize::try_from(count).ok();
            let end = end.and_then(|count| count.checked_mul(size)?.checked_add(start));
            let end = end.filter(|&end| end <= bytes.len());
            Ok(start..end.ok_or(corrupt("it leaves the first segment"))?)
        };
        let (n_buckets, first_export, n_bloom, bloom_shift) = (
            word(hash)?,
            word(hash + 4)?,
            word(hash + 8)?,
            word(hash + 12)?,
        );
        if n_buckets == 0 || !n_bloom.is_power_of_two() || bloom_shift >= 32 || first_export == 0 {
            return Err(corrupt("a header field is out of range"));
        }
        let bloom = table(hash + 16, n_bloom, 8)?;
        let buckets = table(bloom.end, n_buckets, 4)?;

        // The symbol table has no count of its own: it ends where the chain of the last bucket does.
        let mut n_symbols = first_export;
        let mut last = 0;
        for index in 0..buckets.len() / 4 {
            let start = word(buckets.start + 4 * index)?;
            if start != 0 && start < first_export {
                return Err(corrupt("a bucket starts before the first export"));
            }
            last = last.max(start);
        }
        if last != 0 {
            n_symbols = last;
            loop {
                let link = usize::try_from(n_symbols - first_export).ok();
                let link = link.and_then(|link| link.checked_mul(4)?.checked_add(buckets.end));
                let hash = word(link.ok_or(corrupt("it leaves the first segment"))?)?;
                n_symbols = n_symbols
                    .checked_add(1)
                    .ok_or(corrupt("too many symbols"))?;
                if hash & 1 == 1 {
                    break;
                }
            }
        }
        let chain = table(buckets.end, n_symbols - first_export, 4)?;
        let symbols = table(symbols_start, n_symbols, size_of::<Sym64<LE>>())?;
        Ok(Self {
            symbols,
            strings,
            bloom,
            bloom_shift,
            buckets,
            chain,
            first_export,
        })
    }
}

impl<'data> Exports<'data> {
    /// The tables in `bytes`, which are the image's or its first segment's.
    pub(crate) fn new(bytes: &'data [u8], tables: &ExportTables) -> Option<Self> {
        Some(Self {
            strings: bytes.get(tables.strings.clone())?,
            symbols: slice_from_all_bytes(bytes.get(tables.symbols.clone())?).ok()?,
            bloom: slice_from_all_bytes(bytes.get(tables.bloom.clone())?).ok()?,
            bloom_shift: tables.bloom_shift,
            buckets: slice_from_all_bytes(bytes.get(tables.buckets.clone())?).ok()?,
            chain: slice_from_all_bytes(bytes.get(tables.chain.clone())?).ok()?,
            first_export: tables.first_export,
        })
    }

    pub(crate) fn symbols(&self) -> &'data [Sym64<LE>] {
        self.symbols
    }

    pub(crate) fn first_export(&self) -> u32 {
        self.first_export
    }

    /// The bytes of the string at `offset`, up to its zero.
    pub(crate) fn string(&self, offset: u32) -> Option<&'data [u8]> {
        let rest = self.strings.get(usize::try_from(offset).ok()?..)?;
        Some(CStr::from_bytes_until_nul(rest).ok()?.to_bytes())
    }

    /// Whether a string that is not empty starts at `offset`, and ends.
    pub(crate) fn has_string(&self, offset: u32) -> bool {
        let first = self.strings.get(to_usize(offset));
        first.is_some_and(|first| *first != 0) && self.strings.last() == Some(&0)
    }

    /// The symbol at `index` of the dynamic symbol table, an import or an export; `None` for 0 and
    /// for an index past the table.
    #[must_use]
    pub fn symbol(&self, index: u32) -> Option<Symbol<'data>> {
        if index == 0 {
            return None;
        }
        let entry = self.symbols.get(to_usize(index))?;
        Some(Symbol::new(entry, self.string(entry.st_name.get(LE))?))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.symbols
            .len()
            .saturating_sub(to_usize(self.first_export))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All exports with their indices, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Symbol<'data>)> + use<'data> {
        let tables = *self;
        let end = u32::try_from(self.symbols.len()).unwrap_or(u32::MAX);
        (self.first_export..end).filter_map(move |index| Some((index, tables.symbol(index)?)))
    }

    /// The index in the dynamic symbol table of the export named `name`.
    #[must_use]
    pub fn lookup(&self, name: &[u8]) -> Option<u32> {
        let hash = gnu_hash(name);
        let word = self
            .bloom
            .get(to_usize(hash / 64) & (self.bloom.len() - 1))?
            .get(LE);
        let mask = 1 << (hash % 64) | 1 << ((hash >> self.bloom_shift) % 64);
        if word & mask != mask {
            return None;
        }
        let bucket = hash % u32::try_from(self.buckets.len()).ok()?;
        let mut index = self.buckets.get(to_usize(bucket))?.get(LE);
        loop {
            let link = self
                .chain
                .get(to_usize(index.checked_sub(self.first_export)?))?
                .get(LE);
            if link | 1 == hash | 1 {
                let symbol = self.symbols.get(to_usize(index))?;
                let string = self.strings.get(to_usize(symbol.st_name.get(LE))..)?;
                if string.get(..name.len()) == Some(name) && string.get(name.len()) == Some(&0) {
                    return Some(index);
                }
            }
            if link & 1 == 1 {
                return None;
            }
            index += 1;
        }
    }
}

/// The hash of the GNU hash table.
#[must_use]
pub fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, &byte| {
        hash.wrapping_mul(33).wrapping_add(u32::from(byte))
    })
}

/// Lossless: farcall runs where an address has at least 32 bits.
fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
