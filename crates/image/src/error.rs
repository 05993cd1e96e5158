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
    /// The bytes do not have the digest that they carry.
    #[error("the bytes were changed: their digest is {found}, but the image says {expected}")]
    DigestMismatch {
        /// The digest that the image carries.
        expected: crate::Digest,
        /// The digest of the bytes.
        found: crate::Digest,
    },
}
