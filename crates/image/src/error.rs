//! Why bytes are not an image.

use farcall_arch::{Machine, UnsupportedMachine};

/// The result of reading an image.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why bytes are not an image that farcall produces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not ELF at all, or too short to be.
    #[error("not an ELF file")]
    NotElf,
    /// An ELF file, but not a 64-bit little-endian shared object.
    #[error("not an image: ELF {what}")]
    NotSharedObject {
        /// What the header says instead.
        what: &'static str,
    },
    /// For a machine that farcall does not know.
    #[error("for {}", UnsupportedMachine(*e_machine))]
    UnknownMachine {
        /// The header's `e_machine`.
        e_machine: u16,
    },
    /// For a machine other than the one it is to run on.
    #[error("built for {found}, but this machine is {expected}")]
    WrongMachine {
        /// The image's machine.
        found: Machine,
        /// The machine wanted.
        expected: Machine,
    },
    /// A shared object or an executable without a farcall manifest.
    #[error("not an image: ELF without a farcall manifest: build it with farcall")]
    NoManifest,
    /// An image of another format version.
    #[error(
        "image format version {found}, but this farcall reads version {known}: build the image again"
    )]
    FormatVersion {
        /// The image's version.
        found: u32,
        /// The version that is read here.
        known: u32,
    },
    /// The manifest does not decode.
    #[error("corrupt manifest")]
    Manifest,
    /// The file ends before something that it says it holds.
    #[error("truncated: {what} ends at byte {end}, the file at byte {size}")]
    Truncated {
        /// What is cut off.
        what: &'static str,
        /// Where it would end, in bytes.
        end: u64,
        /// The size of the file in bytes.
        size: u64,
    },
    /// Something breaks the rules of the form.
    #[error("corrupt {what}: {reason}")]
    Corrupt {
        /// The table or header.
        what: &'static str,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// An entry of a table breaks the rules of the form.
    #[error("corrupt {what} {index}: {reason}")]
    CorruptEntry {
        /// The table.
        what: &'static str,
        /// The entry's index.
        index: usize,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A feature of shared objects that images do not have.
    #[error("not an image: it has {what}")]
    Unsupported {
        /// The feature.
        what: &'static str,
    },
    /// A bundle where an image is needed.
    #[error("a bundle of images, not an image: choose the variant for the CPU first")]
    IsBundle,
    /// Bytes that are no bundle.
    #[error(
        "not a bundle of images: farcall build makes one for several CPUs, farcall bundle of images"
    )]
    NotBundle,
    /// A bundle of another version.
    #[error(
        "bundle version {found}, but this farcall reads version {known}: build the bundle again"
    )]
    BundleVersion {
        /// The bundle's version.
        found: u32,
        /// The version that is read here.
        known: u32,
    },
    /// A bundle's table does not have the digest that it carries.
    #[error("the table of the bundle was changed: its digest is {found}, but it says {expected}")]
    BundleDigest {
        /// The digest that it carries.
        expected: crate::Digest,
        /// The digest of its bytes.
        found: crate::Digest,
    },
    /// A variant of a bundle is not an image, or not the one that the table says.
    #[error("variant {index}: {source}")]
    Variant {
        /// Its index in the table.
        index: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Two images for one bundle, of which no CPU would take the second.
    #[error(
        "images {first} and {second} are both for {cpus}: a bundle has one variant for each kind of CPU"
    )]
    SameCpus {
        /// The position of one, from 0.
        first: usize,
        /// That of the other.
        second: usize,
        /// What they are for.
        cpus: String,
    },
    /// A code signature of another version. The image itself can be read.
    #[error(
        "code signature version {found}, but this farcall reads version {known}: sign the image again"
    )]
    CodeSignatureVersion {
        /// The signature's version.
        found: u32,
        /// The version that is read here.
        known: u32,
    },
    /// Images of one bundle that are signed with different keys, or some of them not.
    #[error(
        "images {first} and {second} are signed by different keys, {}: sign all variants of a bundle with one key",
        signers(keys)
    )]
    DifferentSigners {
        /// The position of one, from 0.
        first: usize,
        /// That of the other.
        second: usize,
        /// Their keys.
        keys: [Option<crate::KeyId>; 2],
    },
    /// A CPU that can run no variant of a bundle.
    #[error(
        "no variant for the {machine} CPU ({level}): {}; build one for it too: --variant {machine}:{level}",
        .variants.join("; ")
    )]
    NoVariant {
        /// The CPU's machine.
        machine: Machine,
        /// The highest level that it has, as compilers name it.
        level: &'static str,
        /// Each variant, and what the CPU lacks for it.
        variants: Vec<String>,
    },
    /// The bytes do not have the digest that they carry.
    #[error("the bytes were changed: their digest is {found}, but the image says {expected}")]
    DigestMismatch {
        /// The digest that the image carries.
        expected: crate::Digest,
        /// The digest of the bytes.
        found: crate::Digest,
    },
}

fn signers(keys: &[Option<crate::KeyId>; 2]) -> String {
    let [first, second] =
        keys.map(|key| key.map_or_else(|| "none".to_owned(), |key| key.to_string()));
    format!("{first} and {second}")
}
