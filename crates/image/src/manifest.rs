//! What farcall adds to ELF: a note that says how the image was made, the types of its symbols
//! and who refers to its imports.
//!
//! The note's owner is [`NOTE_OWNER`], its type [`NOTE_TYPE_MANIFEST`]. Its descriptor starts with
//! the format version, a little-endian `u32`, which never moves; the rest is the [`Manifest`] in
//! postcard's encoding.

use farcall_arch::CpuFeatures;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The note's owner, with its terminating zero.
pub const NOTE_OWNER: &[u8] = b"farcall\0";
/// The note's type.
pub const NOTE_TYPE_MANIFEST: u32 = 0x4641;
/// The version of the image format. An image of another version is refused, older or newer.
pub const FORMAT_VERSION: u32 = 2;

/// The manifest of an image. Names borrow from its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest<'data> {
    /// What made the image, for people to read.
    #[serde(borrow)]
    pub producer: &'data str,
    /// The names of the CPUs that the code was generated for, with commas between, for people to
    /// read. Empty when no object said.
    pub cpus: &'data str,
    /// What a CPU must have to run the code, beyond the machine's baseline: see [`Manifest::required`].
    pub requires: u128,
    /// The names of those required features that have no number, with commas between.
    pub requires_unnumbered: &'data str,
    /// The distinct types, in LLVM's syntax.
    #[serde(borrow)]
    pub types: Vec<&'data str>,
    /// For each dynamic symbol, by index: 0 for unknown, else 1 + its index in `types`.
    pub symbol_types: Vec<u32>,
    /// Who refers to each import that someone refers to, ordered by symbol.
    #[serde(borrow)]
    pub referrers: Vec<Referrer<'data>>,
}

/// The first place that refers to an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer<'data> {
    /// The import's index in the dynamic symbol table.
    pub symbol: u32,
    /// The object's name, without folders.
    pub object: &'data str,
    /// The function or variable in it, or its section where it has no name.
    pub place: &'data str,
}

impl<'data> Manifest<'data> {
    /// The descriptor of the note.
    ///
    /// # Panics
    ///
    /// Never: encoding to memory does not fail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let descriptor = FORMAT_VERSION.to_le_bytes().to_vec();
        postcard::to_extend(self, descriptor).expect("encoding to memory does not fail")
    }

    /// Reads a note's descriptor.
    ///
    /// # Errors
    ///
    /// [`Error::FormatVersion`] for another version, [`Error::Manifest`] for what does not decode
    /// or does not agree with itself.
    pub fn decode(descriptor: &'data [u8]) -> Result<Self> {
        let (version, body) = descriptor.split_first_chunk().ok_or(Error::Manifest)?;
        let version = u32::from_le_bytes(*version);
        if version != FORMAT_VERSION {
            return Err(Error::FormatVersion {
                found: version,
                known: FORMAT_VERSION,
            });
        }
        let (manifest, rest) =
            postcard::take_from_bytes::<Self>(body).map_err(|_| Error::Manifest)?;
        let n_types = manifest.types.len();
        let types_exist = |&index: &u32| usize::try_from(index).is_ok_and(|index| index <= n_types);
        let needs_unnumbered = manifest.required().contains(CpuFeatures::UNNUMBERED);
        if !rest.is_empty()
            || !manifest.symbol_types.iter().all(types_exist)
            || needs_unnumbered != manifest.unnumbered_names().next().is_some()
        {
            return Err(Error::Manifest);
        }
        Ok(manifest)
    }

    /// The names in [`Manifest::cpus`].
    pub fn cpu_names(&self) -> impl Iterator<Item = &'data str> {
        self.cpus.split(',').filter(|name| !name.is_empty())
    }

    /// What a CPU must have to run the code, beyond the machine's baseline. It has
    /// [`CpuFeatures::UNNUMBERED`] if there are [`Manifest::unnumbered_names`].
    #[must_use]
    pub fn required(&self) -> CpuFeatures {
        CpuFeatures::from_bits(self.requires)
    }

    /// The names in [`Manifest::requires_unnumbered`]: features that the linker did not know.
    pub fn unnumbered_names(&self) -> impl Iterator<Item = &'data str> {
        let names = self.requires_unnumbered.split(',');
        names.filter(|name| !name.is_empty())
    }

    /// The type of the dynamic symbol at `index`, in LLVM's syntax, if it is known.
    #[must_use]
    pub fn symbol_type(&self, index: u32) -> Option<&'data str> {
        let type_index = *self.symbol_types.get(usize::try_from(index).ok()?)?;
        let type_index = usize::try_from(type_index.checked_sub(1)?).ok()?;
        self.types.get(type_index).copied()
    }

    /// Who refers to the import at `index`.
    #[must_use]
    pub fn referrer(&self, index: u32) -> Option<&Referrer<'data>> {
        let by_symbol = |referrer: &Referrer<'_>| referrer.symbol;
        let found = self
            .referrers
            .binary_search_by_key(&index, by_symbol)
            .ok()?;
        self.referrers.get(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_without_a_number_have_a_name() {
        let manifest = |requires: CpuFeatures, requires_unnumbered| Manifest {
            producer: "",
            cpus: "",
            requires: requires.bits(),
            requires_unnumbered,
            types: Vec::new(),
            symbol_types: Vec::new(),
            referrers: Vec::new(),
        };
        let (none, unnumbered) = (CpuFeatures::NONE, CpuFeatures::UNNUMBERED);
        for good in [manifest(none, ""), manifest(unnumbered, "one,other")] {
            assert_eq!(Manifest::decode(&good.encode()).as_ref(), Ok(&good));
        }
        for bad in [
            manifest(none, "one"),
            manifest(unnumbered, ""),
            manifest(unnumbered, ","),
        ] {
            assert_eq!(Manifest::decode(&bad.encode()), Err(Error::Manifest));
        }
    }
}
