//! A checked image.

use std::ops::Range;

use farcall_arch::{Expression, Machine};
use object::elf::{self, Rela64, Sym64};
use object::endian::{LittleEndian as LE, U64};

use crate::digest::DigestCheck;
use crate::exports::ExportTables;
use crate::packing::PackedSegment;
use crate::unwind::UnwindTable;
use crate::{Digest, Exports, Manifest, Result};

/// An image whose form has been checked. It borrows the bytes.
///
/// Every offset, range and index that it hands out lies where its documentation says; nothing
/// after [`Image::parse`] checks them again. Addresses are offsets from the load bias. That the
/// *code* is harmless is not checked and cannot be: see the trust step of the loader.
#[derive(Debug, Clone)]
pub struct Image<'data> {
    pub(crate) bytes: &'data [u8],
    /// What `bytes` start with.
    pub(crate) content: &'data [u8],
    /// What `bytes` end with.
    pub(crate) code_signature: Option<&'data [u8]>,
    pub(crate) machine: Machine,
    pub(crate) segments: Vec<Segment>,
    pub(crate) relro: Range<u64>,
    pub(crate) tls: Option<TlsTemplate>,
    pub(crate) export_tables: ExportTables,
    pub(crate) exports: Exports<'data>,
    pub(crate) rela: &'data [Rela64<LE>],
    pub(crate) relr: &'data [U64<LE>],
    pub(crate) init_array: Range<u64>,
    pub(crate) fini_array: Range<u64>,
    pub(crate) unwind: Option<UnwindTable>,
    pub(crate) is_packed: bool,
    pub(crate) exports_indirect: bool,
    /// What looking up exports and types reads: a byte range of the first segment.
    pub(crate) lookup_tables: Range<usize>,
    pub(crate) digest: Digest,
    pub(crate) digest_offset: usize,
    /// Lies in the first segment's bytes.
    pub(crate) manifest_range: Range<usize>,
    pub(crate) manifest: Manifest<'data>,
}

/// One `PT_LOAD` segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its addresses, half-open. Segments are in ascending order and share no page.
    pub memory: Range<u64>,
    /// The part of `memory` that code may use, half-open: all of it, but for a packed image.
    pub resident: Range<u64>,
    /// The bytes of the file that it starts with, half-open; the rest of `memory` is zero.
    pub file: Range<usize>,
    /// Its alignment in bytes: a power of two, at least a page.
    pub align: u64,
    /// Whether it is writable: before publishing if the segment is relro, else always.
    pub writable: bool,
    /// Whether it is executable. Never both.
    pub executable: bool,
}

/// What each thread's copy of the image's thread-local variables starts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsTemplate {
    /// The bytes of the file that it starts with; the rest is zero.
    pub file: Range<usize>,
    /// The address of those bytes once loaded.
    pub vaddr: u64,
    /// Its size in bytes.
    pub memory_size: u64,
    /// Its alignment in bytes: a power of two.
    pub align: u64,
}

/// An index in the dynamic symbol table. 0 is no symbol.
pub type SymbolIndex = u32;

/// An import or an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'data> {
    /// Its name.
    pub name: &'data [u8],
    /// Its address for an export (for thread-local ones the offset in the TLS block, for indirect
    /// functions the function that finds theirs, in an executable segment); 0 for an import.
    pub value: u64,
    /// Its size in bytes, 0 when unknown.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Whether it must be found (imports).
    pub binding: Binding,
    /// Whether it is for images of its scope only (`STV_HIDDEN`).
    pub is_hidden: bool,
    /// Whether it is an import.
    pub is_import: bool,
    /// Whether `value` is a number, not an address that moves with the image (`SHN_ABS`).
    pub is_absolute: bool,
}

/// What a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// The object did not say (`STT_NOTYPE`).
    Unknown,
    /// A function.
    Function,
    /// A variable.
    Data,
    /// A thread-local variable.
    Tls,
    /// A function that returns the address of the function (`STT_GNU_IFUNC`).
    IndirectFunction,
}

/// How a symbol binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// An import that must be found.
    Global,
    /// An import that is null when it is not found.
    Weak,
}

/// A relocation to apply at load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicRelocation {
    /// The address to write [`DynamicRelocation::size`] bytes at; all lie in one writable segment.
    pub place: u64,
    /// The value to write: `Relative`, `Symbol`, `GlobDat`, `TlsModule`, `TlsBlockOffset`,
    /// `TlsOffset`, `TlsDescriptorPair` or `IndirectRelative`.
    pub expression: Expression,
    /// The symbol, 0 for the image itself.
    pub symbol: SymbolIndex,
    /// The addend; for `IndirectRelative` an address in an executable segment.
    pub addend: i64,
}

impl Segment {
    /// The bytes of the file that `resident` starts with; the rest of it is zero.
    #[must_use]
    pub fn resident_file(&self) -> Range<usize> {
        let skip = to_usize(self.resident.start - self.memory.start);
        let start = self.file.start.saturating_add(skip).min(self.file.end);
        let length = to_usize(self.resident.end - self.resident.start);
        start..start.saturating_add(length).min(self.file.end)
    }
}

/// Lossless for what is in memory.
fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl DynamicRelocation {
    /// The number of bytes that it writes: 8, or 16 for the two words of a TLS descriptor.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self.expression {
            Expression::TlsDescriptorPair => 16,
            _ => 8,
        }
    }
}

impl<'data> Image<'data> {
    /// Checks `bytes` and gives the image that they are.
    ///
    /// Checked are the ELF header, program headers, dynamic table, symbols, names, hash table,
    /// relocations, unwind tables and manifest; not checked is the digest, which means reading
    /// every byte ([`Image::verify_digest`]). Cost: linear in symbols and relocations.
    ///
    /// # Errors
    ///
    /// An [`Error`](crate::Error) naming the first rule of the form that the bytes break.
    pub fn parse(bytes: &'data [u8]) -> Result<Self> {
        crate::parse::parse(bytes)
    }

    /// All bytes of the image, with the code signature that it may carry: what is kept and shipped.
    #[must_use]
    pub fn bytes(&self) -> &'data [u8] {
        self.bytes
    }

    /// The bytes of the image itself, without a code signature: what its digest is of.
    #[must_use]
    pub fn content(&self) -> &'data [u8] {
        self.content
    }

    /// The code signature that follows the image, for [`CodeSignature::parse`](crate::CodeSignature::parse). Nothing of
    /// it has been checked but its size.
    #[must_use]
    pub fn code_signature(&self) -> Option<&'data [u8]> {
        self.code_signature
    }

    /// The machine that it runs on.
    #[must_use]
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// The digest that the image carries. It is the digest of its bytes if
    /// [`Image::verify_digest`] says so.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Checks that the content has the digest that it carries. Reads every byte of it.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`](crate::Error::DigestMismatch) when they do not.
    pub fn verify_digest(&self) -> Result<()> {
        self.digest_check().finish()
    }

    /// As [`Image::verify_digest`], in pieces.
    ///
    /// # Panics
    ///
    /// Never: parsing has found the digest in the content.
    #[must_use]
    pub fn digest_check(&self) -> DigestCheck<'data> {
        let check = DigestCheck::new(self.content, self.digest_offset, self.digest);
        check.expect("parsing has found the digest in the content")
    }

    /// The segments to load. The first starts at address 0 and file offset 0, is read-only, and
    /// holds every table; there is at least one.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The addresses `0..span` are the image's.
    #[must_use]
    pub fn span(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.memory.end)
    }

    /// The largest alignment of any segment, in bytes: that of the load bias.
    #[must_use]
    pub fn align(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.align)
            .max()
            .unwrap_or(1)
    }

    /// What the load bias of a packed image is a multiple of, in bytes. An alignment of a page says of its
    /// segments only that they share none.
    #[must_use]
    pub fn bias_align(&self) -> u64 {
        if self.align() > self.machine.max_page_size() {
            self.align()
        } else {
            self.machine.bias_unit()
        }
    }

    /// The addresses to make read-only once relocated. Empty or a whole number of pages from the
    /// start of one writable segment.
    #[must_use]
    pub fn relro(&self) -> Range<u64> {
        self.relro.clone()
    }

    /// The image's thread-local variables.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsTemplate> {
        self.tls.as_ref()
    }

    /// The exported names, over the image's bytes.
    #[must_use]
    pub fn exports(&self) -> Exports<'data> {
        self.exports
    }

    /// Whether it exports an indirect function.
    #[must_use]
    pub fn exports_indirect_functions(&self) -> bool {
        self.exports_indirect
    }

    /// What looking up exports and their types reads: a byte range of the file and, in an image that
    /// is not packed, the same addresses.
    #[must_use]
    pub fn lookup_tables(&self) -> Range<usize> {
        self.lookup_tables.clone()
    }

    /// The exported names, over a copy of the bytes of [`Image::lookup_tables`].
    ///
    /// `None` when `tables` is shorter.
    #[must_use]
    pub fn exports_in<'memory>(&self, tables: &'memory [u8]) -> Option<Exports<'memory>> {
        Exports::new(tables, &self.export_tables.moved(self.lookup_tables.start))
    }

    /// The symbol at `index`; `None` for 0 and for an index past the table.
    #[must_use]
    pub fn symbol(&self, index: SymbolIndex) -> Option<Symbol<'data>> {
        self.exports.symbol(index)
    }

    /// All imports with their indices, in order.
    pub fn imports(&self) -> impl Iterator<Item = (SymbolIndex, Symbol<'data>)> + '_ {
        (1..self.exports.first_export()).filter_map(|index| Some((index, self.symbol(index)?)))
    }

    /// All exports with their indices, in order.
    pub fn all_exports(&self) -> impl Iterator<Item = (SymbolIndex, Symbol<'data>)> + '_ {
        self.exports.iter()
    }

    /// The addresses of the 8-byte words that the load bias is added to: the `DT_RELR` ones.
    pub fn relative_words(&self) -> impl Iterator<Item = u64> + '_ {
        crate::dynamic::relr_addresses(self.relr)
    }

    /// All other relocations, in order.
    pub fn relocations(&self) -> impl Iterator<Item = DynamicRelocation> + '_ {
        self.rela
            .iter()
            .filter_map(|entry| crate::dynamic::relocation(self.machine, entry))
    }

    /// The addresses of the pointers to constructors, to be called in order. 8-byte aligned, a
    /// whole number of pointers, in one segment.
    #[must_use]
    pub fn init_array(&self) -> Range<u64> {
        self.init_array.clone()
    }

    /// The addresses of the pointers to destructors, to be called last first; as `init_array`.
    #[must_use]
    pub fn fini_array(&self) -> Range<u64> {
        self.fini_array.clone()
    }

    /// The addresses of the `.eh_frame` records, with the terminating zero.
    #[must_use]
    pub fn eh_frame(&self) -> Option<Range<u64>> {
        Some(self.unwind.as_ref()?.records.clone())
    }

    /// The addresses of the table that finds them by function, `.eh_frame_hdr`.
    #[must_use]
    pub fn eh_frame_hdr(&self) -> Option<Range<u64>> {
        let entries = &self.unwind.as_ref()?.entries;
        Some(crate::unwind::header_start(entries)..entries.end as u64)
    }

    /// The functions with unwind records, as pairs of addresses, the function's and its FDE's, by the
    /// function's address. Each FDE is one of [`Image::eh_frame`].
    pub fn unwind_functions(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        let entries = self
            .unwind
            .as_ref()
            .map_or(0..0, |unwind| unwind.entries.clone());
        crate::unwind::functions(&self.bytes[entries.clone()], entries)
    }

    /// Whether the segments stand so that those of many images can share pages: at one distance,
    /// [`crate::ARENA_STRIDE`], in the order of [`crate::PackedSegment::ALL`].
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.is_packed
    }

    /// The arena of a segment of a packed image.
    #[must_use]
    pub fn packed_segment(&self, segment: &Segment) -> PackedSegment {
        PackedSegment::of(segment, &self.relro)
    }

    /// What the image's `__dso_handle` is: an address of its second segment, which no other module
    /// has, whether it is packed or not; 0 when there is no second one.
    #[must_use]
    pub fn dso_handle(&self) -> u64 {
        self.segments
            .get(1)
            .map_or(0, |segment| segment.memory.start)
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest<'data> {
        &self.manifest
    }

    /// Where the manifest is encoded: a byte range of the file, within [`Image::lookup_tables`], for
    /// [`Manifest::decode`] over a copy of it.
    #[must_use]
    pub fn manifest_range(&self) -> Range<usize> {
        self.manifest_range.clone()
    }
}

impl<'data> Symbol<'data> {
    /// The symbol that `entry` describes.
    pub(crate) fn new(entry: &Sym64<LE>, name: &'data [u8]) -> Self {
        let kind = match entry.st_type() {
            elf::STT_FUNC => SymbolKind::Function,
            elf::STT_OBJECT | elf::STT_COMMON => SymbolKind::Data,
            elf::STT_TLS => SymbolKind::Tls,
            elf::STT_GNU_IFUNC => SymbolKind::IndirectFunction,
            _ => SymbolKind::Unknown,
        };
        let binding = if entry.st_bind() == elf::STB_WEAK {
            Binding::Weak
        } else {
            Binding::Global
        };
        Self {
            name,
            value: entry.st_value.get(LE),
            size: entry.st_size.get(LE),
            kind,
            binding,
            is_hidden: entry.st_visibility() == elf::STV_HIDDEN,
            is_import: entry.st_shndx.get(LE) == elf::SHN_UNDEF,
            is_absolute: entry.st_shndx.get(LE) == elf::SHN_ABS,
        }
    }
}
