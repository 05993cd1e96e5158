//! The dynamic symbol table: imports first, then exports in the order of the GNU hash table.

use farcall_image::gnu_hash;

use crate::resolve::{GlobalId, Resolved};
use crate::scan::Scanned;

/// The dynamic symbols' order, names and hash table.
#[derive(Debug)]
pub(crate) struct DynamicSymbols {
    /// The symbols from index 1 on. One that is shared is there twice, as an import and as an export.
    pub(crate) order: Vec<GlobalId>,
    /// How many of them are imports.
    n_imports: usize,
    /// The index of each global in the table, of a shared one that of the import, or 0.
    indices: Vec<u32>,
    /// For each of `order`, where its name is in `strings`.
    pub(crate) names: Vec<u32>,
    /// The string table.
    pub(crate) strings: Vec<u8>,
    /// The GNU hash table.
    pub(crate) hash: Vec<u8>,
}

/// How far apart the two bits are that a name sets in the bloom filter, as other linkers do.
const BLOOM_SHIFT: u32 = 26;
/// A bucket for so many symbols, and so many bits of the bloom filter for each.
const SYMBOLS_PER_BUCKET: usize = 4;
const BLOOM_BITS_PER_SYMBOL: usize = 12;

impl DynamicSymbols {
    pub(crate) fn new(resolved: &Resolved<'_>, scanned: &Scanned) -> Self {
        let mut order: Vec<GlobalId> = scanned.imports.iter().map(|import| import.global).collect();
        let n_imports = order.len();
        let first_export = n_imports + 1;
        let exports = (0..resolved.globals.len()).filter(|&id| resolved.is_export(id));
        let mut exports: Vec<(u32, GlobalId)> = exports
            .map(|id| (gnu_hash(resolved.globals[id].name), id))
            .collect();
        let n_buckets =
            u32::try_from(exports.len().div_ceil(SYMBOLS_PER_BUCKET).max(1)).unwrap_or(u32::MAX);
        exports.sort_by_key(|&(hash, id)| (hash % n_buckets, id));
        order.extend(exports.iter().map(|&(_, id)| id));

        let mut strings = vec![0];
        let mut names = Vec::with_capacity(order.len());
        for &id in &order {
            names.push(u32::try_from(strings.len()).unwrap_or(u32::MAX));
            strings.extend_from_slice(resolved.globals[id].name);
            strings.push(0);
        }
        let mut indices = vec![0; resolved.globals.len()];
        for (&id, index) in order.iter().zip(1..) {
            if indices[id] == 0 {
                indices[id] = index;
            }
        }
        let hash = hash_table(first_export, n_buckets, &exports);
        Self {
            order,
            n_imports,
            indices,
            names,
            strings,
            hash,
        }
    }

    /// The symbols that others define, or may define.
    pub(crate) fn imports(&self) -> &[GlobalId] {
        &self.order[..self.n_imports]
    }

    /// The symbols that the image defines for others.
    pub(crate) fn exports(&self) -> &[GlobalId] {
        &self.order[self.n_imports..]
    }

    /// The number of entries of the table, with the empty one at index 0.
    pub(crate) fn len(&self) -> usize {
        self.order.len() + 1
    }

    /// The index of a global as others refer to it; 0 when it is not in the table.
    pub(crate) fn index(&self, id: GlobalId) -> u32 {
        self.indices[id]
    }
}

fn hash_table(first_export: usize, n_buckets: u32, exports: &[(u32, GlobalId)]) -> Vec<u8> {
    let n_bloom = (exports.len() * BLOOM_BITS_PER_SYMBOL / 64)
        .max(1)
        .next_power_of_two();
    let mut bloom = vec![0_u64; n_bloom];
    let mut buckets = vec![0_u32; n_buckets as usize];
    let mut chain = Vec::with_capacity(exports.len());
    for (position, &(hash, _)) in exports.iter().enumerate() {
        let word = &mut bloom[hash as usize / 64 % n_bloom];
        *word |= 1 << (hash % 64) | 1 << ((hash >> BLOOM_SHIFT) % 64);
        let bucket = hash % n_buckets;
        if buckets[bucket as usize] == 0 {
            buckets[bucket as usize] = to_u32(first_export + position);
        }
        let is_last = exports
            .get(position + 1)
            .is_none_or(|&(next, _)| next % n_buckets != bucket);
        chain.push(hash & !1 | u32::from(is_last));
    }
    let header = [
        n_buckets,
        to_u32(first_export),
        to_u32(n_bloom),
        BLOOM_SHIFT,
    ];
    let mut table = Vec::new();
    header
        .iter()
        .for_each(|word| table.extend(word.to_le_bytes()));
    bloom
        .iter()
        .for_each(|word| table.extend(word.to_le_bytes()));
    buckets
        .iter()
        .for_each(|word| table.extend(word.to_le_bytes()));
    chain
        .iter()
        .for_each(|word| table.extend(word.to_le_bytes()));
    table
}

/// Counts of symbols fit: an object's symbol table has 24 bytes for each and is in memory.
fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
