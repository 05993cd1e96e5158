//! A bundle in words: what `farcall inspect` prints.

use std::fmt;

use farcall_arch::{CpuFeatures, Machine};
use serde::Serialize;

use crate::{Bundle, KeyId, Variant, describe};

/// What a bundle is made of, for people and, as JSON, for programs.
#[derive(Debug, Clone, Serialize)]
pub struct BundleDescription {
    /// The digest of its table, in hexadecimal.
    pub digest: String,
    /// The size of the file in bytes.
    pub file_size: usize,
    /// The index of the variant that the CPU takes that was asked, if it runs any.
    pub taken: Option<usize>,
    /// The variants, in the order of the table.
    pub variants: Vec<VariantDescription>,
}

/// A variant of a bundle.
#[derive(Debug, Clone, Serialize)]
pub struct VariantDescription {
    /// The machine's name, or its number where it has none here.
    pub machine: String,
    /// What a CPU must have to run it, beyond the machine's baseline: levels and features.
    pub requires: Vec<String>,
    /// What of that the CPU lacks that was asked; `None` when it is of another machine.
    pub lacks: Option<Vec<String>>,
    /// The digest of its image, in hexadecimal.
    pub digest: String,
    /// Where its image starts in the file.
    pub offset: u64,
    /// The size of its image in bytes.
    pub size: u64,
    /// The id of the key that it says it is signed with, if it is.
    pub signed_by: Option<String>,
}

impl Bundle<'_> {
    /// Describes the bundle, as a CPU sees it. Of the images no more is looked at than who signed them.
    #[must_use]
    pub fn describe(&self, machine: Machine, features: CpuFeatures) -> BundleDescription {
        let variants = self.table().variants().iter();
        BundleDescription {
            digest: self.table().digest().to_string(),
            file_size: self.bytes().len(),
            taken: self.table().choose(machine, features).ok(),
            variants: variants
                .map(|variant| {
                    let signer = self.signer(variant);
                    VariantDescription::new(variant, machine, features, signer)
                })
                .collect(),
        }
    }
}

impl VariantDescription {
    fn new(variant: &Variant, here: Machine, features: CpuFeatures, signer: Option<KeyId>) -> Self {
        let required = variant.required();
        let machine = variant.machine();
        let mut requires =
            machine.map_or_else(Vec::new, |machine| describe::required(machine, required));
        if required.contains(CpuFeatures::UNNUMBERED) {
            requires.push(describe::UNNUMBERED.to_owned());
        }
        let missing = || describe::missing(here, required.without(features));
        let range = variant.range();
        Self {
            machine: variant.machine_name(),
            requires,
            lacks: (machine == Some(here)).then(missing),
            digest: variant.digest().to_string(),
            offset: range.start,
            size: range.end - range.start,
            signed_by: signer.map(|key| key.to_string()),
        }
    }
}

impl fmt::Display for BundleDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bundle       {} variants", self.variants.len())?;
        writeln!(f, "digest       {}", self.digest)?;
        writeln!(f, "size         {} bytes in the file", self.file_size)?;
        match self.taken {
            Some(index) => writeln!(f, "this CPU     takes variant {index}")?,
            None => writeln!(f, "this CPU     runs none of them")?,
        }
        writeln!(
            f,
            "\nvariants        offset         size  digest            for"
        )?;
        for (index, variant) in self.variants.iter().enumerate() {
            let mark = if self.taken == Some(index) { '*' } else { ' ' };
            write!(
                f,
                "  {index:>4} {mark} {:#12x} {:>12}  {:.16}  {}",
                variant.offset, variant.size, variant.digest, variant.machine
            )?;
            if !variant.requires.is_empty() {
                write!(f, " with {}", variant.requires.join(", "))?;
            }
            if let Some(lacks) = variant.lacks.as_deref().filter(|it| !it.is_empty()) {
                write!(f, "; this CPU lacks {}", lacks.join(", "))?;
            }
            if let Some(key) = &variant.signed_by {
                write!(f, "; signed by key {key}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
