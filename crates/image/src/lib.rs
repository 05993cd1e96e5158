//! The shipped artefact: an *image*.
//!
//! An image is an ELF shared object (`ET_DYN`) of a strict form, with a manifest in a note.
//! [`Image::parse`] checks everything about the bytes once; what comes after relies on it.
//! A [`Bundle`] is several images in one file, each for other CPUs.
//!
//! Nothing here does I/O, and nothing here runs an image.

#![forbid(unsafe_code)]

mod bundle;
mod code_signature;
mod describe;
mod describe_bundle;
mod digest;
mod dynamic;
mod error;
mod executable;
mod exports;
mod image;
mod manifest;
mod nearest;
mod packing;
mod parse;
mod signature;
mod unwind;
mod utc;

pub use bundle::{Bundle, BundleTable, Variant};
pub use code_signature::{
    Claims, CodeSignature, KeyId, MESSAGE_PREFIX, ParseKeyIdError, SIGNATURE_SIZE,
};
pub use describe::{
    Description, ExportDescription, ImportDescription, SegmentDescription, SignatureDescription,
};
pub use describe_bundle::{BundleDescription, VariantDescription};
pub use digest::{DIGEST_SIZE, Digest, DigestCheck, ParseDigestError};
pub use error::{Error, Result};
pub use executable::{PlacedSegment, PlacedSymbol, executable};
pub use exports::{Exports, gnu_hash};
pub use image::{
    Binding, DynamicRelocation, Image, Segment, Symbol, SymbolIndex, SymbolKind, TlsTemplate,
};
pub use manifest::{FORMAT_VERSION, Manifest, NOTE_OWNER, NOTE_TYPE_MANIFEST, Referrer};
pub use nearest::nearest;
pub use packing::{ARENA_STRIDE, PackedSegment};
pub use signature::{Parameter, ParseTypeError, Signature, ValueType};
pub use unwind::{CieForm, cie_form, function_distance_size, shortest_fde};
pub use utc::{ParseUtcError, Utc};

pub use farcall_arch::{CpuFeatures, Machine, Range as ValueRange};
