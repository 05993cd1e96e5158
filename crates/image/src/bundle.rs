//! A bundle: variants of one image in one file, each for other CPUs.
//!
//! The form is strict, so that the same variants are the same bytes. Numbers are little-endian.
//!
//! | bytes | the head |
//! |---|---|
//! | 8 | `7f 66 61 72 63 61 6c 6c`: what no ELF file and no text starts with |
//! | 4 | the version, 1; another one is refused, older or newer |
//! | 4 | the number of variants, 1 to 1,024 |
//! | 32 | the digest: BLAKE3 of head and table, with these 32 bytes as zero |
//!
//! The table follows, a row of 68 bytes for each variant:
//!
//! | bytes | a row |
//! |---|---|
//! | 16 | what a CPU must have: bit N for the feature with number N, as in the image's manifest |
//! | 8 | where the image starts in the file |
//! | 8 | its size in bytes |
//! | 32 | its digest |
//! | 4 | its machine, by ELF's number (`e_machine`) |
//!
//! - Rows are ordered by machine, then the most features first, then by the features as a number. No two rows agree in
//!   machine and features. So the first row that a CPU can run is the best for it.
//! - The images follow in the order of the rows, unchanged. One of 128 KiB or more starts at a multiple of 64 KiB, which
//!   is a whole number of pages on every machine, so that it can be mapped; a smaller one at a multiple of 64. What is
//!   between them is zero. The file ends with the last one.
//!
//! The table says all that choosing needs: [`BundleTable`] is made of the start of a file, so that of the rest only one
//! variant is read, or sent.

use std::cmp::Reverse;
use std::ops::Range;

use farcall_arch::{CpuFeatures, Machine};

use crate::{CodeSignature, DIGEST_SIZE, Digest, Error, Image, KeyId, Result, describe};

/// What a bundle starts with.
const MAGIC: &[u8; 8] = b"\x7ffarcall";
/// The version of the form.
const VERSION: u32 = 1;
const DIGEST_OFFSET: usize = 16;
const HEAD_SIZE: usize = DIGEST_OFFSET + DIGEST_SIZE;
const ROW_SIZE: usize = 68;
const MAX_VARIANTS: usize = 1024;

/// From this size on, in bytes, an image may be worth mapping.
const LARGE: u64 = 1 << 17;
/// The largest page of any machine.
const LARGE_ALIGN: u64 = 1 << 16;
const SMALL_ALIGN: u64 = 64;

/// The table of a bundle, checked: it is what its digest says, and what it says of the file is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleTable {
    digest: Digest,
    variants: Vec<Variant>,
}

/// A row of a bundle's table: an image, as far as choosing goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The machine by ELF's number, which a newer farcall may know and this one not.
    e_machine: u16,
    requires: CpuFeatures,
    digest: Digest,
    /// Within the file.
    range: Range<u64>,
}

/// A bundle whose table has been checked. It borrows the bytes.
///
/// ```no_run
/// # use farcall_image::{Bundle, CpuFeatures, Machine};
/// let bytes = std::fs::read("query.farcall")?;
/// let bundle = Bundle::parse(&bytes)?;
/// // The loader's `cpu::choose` asks for the CPU that it runs on, the executor's `choose` for the executor's.
/// let image = bundle.choose(Machine::X86_64, CpuFeatures::NONE)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bundle<'data> {
    bytes: &'data [u8],
    table: BundleTable,
}

impl Variant {
    /// The machine that it runs on; `None` for one that this farcall does not know.
    #[must_use]
    pub fn machine(&self) -> Option<Machine> {
        Machine::from_e_machine(self.e_machine)
    }

    /// What a CPU must have to run it, as in its [`Manifest`](crate::Manifest::required).
    #[must_use]
    pub fn required(&self) -> CpuFeatures {
        self.requires
    }

    /// The digest of its image.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where its image is: a range of bytes of the file.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Where its last bytes are, which say who signed it: a range of bytes of the file.
    #[must_use]
    pub fn end(&self) -> Range<u64> {
        let start = self
            .range
            .end
            .saturating_sub(CodeSignature::END_SIZE as u64);
        start.max(self.range.start)..self.range.end
    }

    /// Whether a CPU of this machine with these features runs it.
    #[must_use]
    pub fn runs_on(&self, machine: Machine, features: CpuFeatures) -> bool {
        self.e_machine == machine.e_machine() && features.contains(self.requires)
    }

    /// The image in the bytes of [`Variant::range`]. Costs what [`Image::parse`] does.
    ///
    /// # Errors
    ///
    /// As [`Image::parse`], and when the image is not what the row says.
    pub fn image<'data>(&self, bytes: &'data [u8]) -> Result<Image<'data>> {
        let image = Image::parse(bytes)?;
        let found = Self::of(&image);
        let reason = if found.e_machine != self.e_machine {
            "it is for another machine than the table says"
        } else if found.requires != self.requires {
            "it requires something else of a CPU than the table says"
        } else if found.digest != self.digest {
            "it has another digest than the table says"
        } else {
            return Ok(image);
        };
        Err(Error::Corrupt {
            what: "image",
            reason,
        })
    }

    /// What rows are ordered by.
    fn key(&self) -> impl Ord + use<> {
        let requires = self.requires;
        (self.e_machine, Reverse(requires.len()), requires.bits())
    }

    /// The machine and what is required beyond its baseline, for people: `x86_64 with x86-64-v3`.
    fn name(&self) -> String {
        let names = self.machine().map_or_else(Vec::new, |machine| {
            describe::required(machine, self.requires)
        });
        match names.is_empty() {
            true => self.machine_name(),
            false => format!("{} with {}", self.machine_name(), names.join(", ")),
        }
    }

    /// The machine's name, or its number where it has none here.
    pub(crate) fn machine_name(&self) -> String {
        let number = || format!("machine {}", self.e_machine);
        self.machine()
            .map_or_else(number, |machine| machine.to_string())
    }

    /// The row of an image whose place is not known yet: its range has its size.
    fn of(image: &Image<'_>) -> Self {
        Self {
            e_machine: image.machine().e_machine(),
            requires: image.manifest().required(),
            digest: image.digest(),
            range: 0..image.bytes().len() as u64,
        }
    }

    /// Its range, of bytes that the table was compared with.
    fn in_memory(&self) -> Range<usize> {
        let [start, end] = [self.range.start, self.range.end].map(usize::try_from);
        let within = "the table was compared with the size of the bytes";
        start.expect(within)..end.expect(within)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut row = self.requires.bits().to_le_bytes().to_vec();
        row.extend(self.range.start.to_le_bytes());
        row.extend((self.range.end - self.range.start).to_le_bytes());
        row.extend(self.digest.as_bytes());
        row.extend(u32::from(self.e_machine).to_le_bytes());
        row
    }

    /// `None` for a number of a machine that ELF does not have, and for a range that has no end.
    fn from_bytes(mut row: &[u8]) -> Option<Self> {
        let requires = u128::from_le_bytes(take(&mut row)?);
        let start = u64::from_le_bytes(take(&mut row)?);
        let size = u64::from_le_bytes(take(&mut row)?);
        let digest = take::<DIGEST_SIZE>(&mut row)?;
        let e_machine = u32::from_le_bytes(take(&mut row)?);
        Some(Self {
            e_machine: u16::try_from(e_machine).ok()?,
            requires: CpuFeatures::from_bits(requires),
            digest: Digest::from_bytes(digest),
            range: start..start.checked_add(size)?,
        })
    }
}

impl BundleTable {
    /// How much of a file's start is needed to know the size of head and table, in bytes.
    pub const HEAD_SIZE: usize = HEAD_SIZE;

    /// The size in bytes of head and table, said by the first [`BundleTable::HEAD_SIZE`] bytes of the file; at most
    /// 70 KiB. `None` when the file is no bundle, by its first bytes.
    ///
    /// # Errors
    ///
    /// As [`BundleTable::parse`].
    pub fn size(start: &[u8]) -> Result<Option<usize>> {
        if !Bundle::is_bundle(start) {
            return Ok(None);
        }
        let number = |at: usize| {
            let bytes = start.get(at..).and_then(<[u8]>::first_chunk);
            let size = start.len() as u64;
            let bytes = bytes.ok_or_else(|| cut("the head of the bundle", HEAD_SIZE as u64, size));
            bytes.map(|bytes| u32::from_le_bytes(*bytes))
        };
        let version = number(8)?;
        if version != VERSION {
            return Err(Error::BundleVersion {
                found: version,
                known: VERSION,
            });
        }
        let n_variants = usize::try_from(number(12)?).unwrap_or(usize::MAX);
        let wrong = |reason| {
            Err(Error::Corrupt {
                what: TABLE,
                reason,
            })
        };
        match n_variants {
            0 => wrong(EMPTY),
            1..=MAX_VARIANTS => Ok(Some(HEAD_SIZE + n_variants * ROW_SIZE)),
            _ => wrong(TOO_MANY),
        }
    }

    /// Checks the table of a bundle of `file_size` bytes, of which `start` are the first: [`BundleTable::size`] or more.
    ///
    /// The images are not looked at: [`Bundle::image`] compares one with its row. Costs a digest of the table and
    /// nothing that depends on the size of the images.
    ///
    /// # Errors
    ///
    /// An [`Error`] naming the first rule of the form that the bytes break.
    pub fn parse(start: &[u8], file_size: u64) -> Result<Self> {
        let size = Self::size(start)?.ok_or(Error::NotBundle)?;
        let whole = start.get(..size);
        let head = whole.ok_or_else(|| cut(TABLE, size as u64, start.len() as u64))?;
        let expected = head[DIGEST_OFFSET..].first_chunk();
        let expected = Digest::from_bytes(*expected.ok_or(Error::NotBundle)?);
        let found = Digest::of_with_hole(head, DIGEST_OFFSET).ok_or(Error::NotBundle)?;
        if found != expected {
            return Err(Error::BundleDigest { expected, found });
        }
        let variants = head[HEAD_SIZE..].chunks_exact(ROW_SIZE).enumerate();
        let variants = variants.map(|(index, row)| {
            let variant = Variant::from_bytes(row);
            variant.ok_or_else(|| wrong_row(index, "its machine or its size is impossible"))
        });
        let variants = variants.collect::<Result<Vec<_>>>()?;
        check_order(&variants)?;
        check_places(&variants, size as u64, file_size)?;
        Ok(Self {
            digest: found,
            variants,
        })
    }

    /// The digest of head and table, and so, with those of the images, of all that there is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The variants, in the order of the table: of those for one machine first what requires most.
    #[must_use]
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// Checks that all variants are signed with one key, or none is, given what [`CodeSignature::signer`] says of the end
    /// of each ([`Variant::end`]), in the order of the table.
    ///
    /// # Errors
    ///
    /// [`Error::DifferentSigners`].
    pub fn check_signers(signers: impl IntoIterator<Item = Option<KeyId>>) -> Result<()> {
        let mut signers = signers.into_iter();
        let first = signers.next().flatten();
        match signers.enumerate().find(|(_, signer)| *signer != first) {
            None => Ok(()),
            Some((index, other)) => Err(Error::DifferentSigners {
                first: 0,
                second: index + 1,
                keys: [first, other],
            }),
        }
    }

    /// The index of the best variant for a CPU: of those that it runs the one that requires most features, and of
    /// several such the first. Costs a comparison of two sets for each variant.
    ///
    /// # Errors
    ///
    /// [`Error::NoVariant`] when it runs none.
    pub fn choose(&self, machine: Machine, features: CpuFeatures) -> Result<usize> {
        let runs = |variant: &Variant| variant.runs_on(machine, features);
        let best = self.variants.iter().position(runs);
        best.ok_or_else(|| no_variant(&self.variants, machine, features))
    }
}

impl<'data> Bundle<'data> {
    /// Whether these bytes are a bundle or the start of one, by their first 8.
    #[must_use]
    pub fn is_bundle(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Checks the table of a bundle: see [`BundleTable::parse`].
    ///
    /// # Errors
    ///
    /// As [`BundleTable::parse`].
    pub fn parse(bytes: &'data [u8]) -> Result<Self> {
        let table = BundleTable::parse(bytes, bytes.len() as u64)?;
        Ok(Self { bytes, table })
    }

    /// The bytes of a bundle of these images, in any order. Its digest depends on the images alone.
    ///
    /// Costs a copy of the images; they are not compared with their digests.
    ///
    /// # Errors
    ///
    /// [`Error::SameCpus`] for two images of which no CPU would take the second; [`Error::DifferentSigners`]; when there
    /// are none, or more than 1,024.
    pub fn write(images: &[Image<'_>]) -> Result<Vec<u8>> {
        let wrong = |reason| {
            Err(Error::Corrupt {
                what: TABLE,
                reason,
            })
        };
        match images.len() {
            0 => return wrong(EMPTY),
            1..=MAX_VARIANTS => {}
            _ => return wrong(TOO_MANY),
        }
        BundleTable::check_signers(
            images
                .iter()
                .map(|image| CodeSignature::signer(image.bytes())),
        )?;
        let mut sorted: Vec<(usize, Variant)> =
            images.iter().map(Variant::of).enumerate().collect();
        sorted.sort_by_key(|(index, variant)| (variant.key(), *index));
        for pair in sorted.windows(2) {
            let [(first, one), (second, other)] = pair else {
                continue;
            };
            if one.key() == other.key() {
                return Err(Error::SameCpus {
                    first: *first,
                    second: *second,
                    cpus: one.name(),
                });
            }
        }
        let head_size = HEAD_SIZE + images.len() * ROW_SIZE;
        let mut end = head_size as u64;
        for (_, variant) in &mut sorted {
            let size = variant.range.end;
            let start = end.next_multiple_of(align(size));
            end = start + size;
            variant.range = start..end;
        }
        let n_variants = u32::try_from(images.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(usize::try_from(end).unwrap_or(0));
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(n_variants.to_le_bytes());
        bytes.extend([0; DIGEST_SIZE]);
        bytes.extend(sorted.iter().flat_map(|(_, variant)| variant.to_bytes()));
        let digest = Digest::of_with_hole(&bytes, DIGEST_OFFSET).ok_or(Error::NotBundle)?;
        bytes[DIGEST_OFFSET..HEAD_SIZE].copy_from_slice(digest.as_bytes());
        for (index, variant) in &sorted {
            bytes.resize(
                usize::try_from(variant.range.start).unwrap_or(usize::MAX),
                0,
            );
            bytes.extend(images[*index].bytes());
        }
        Ok(bytes)
    }

    /// All bytes of the bundle.
    #[must_use]
    pub fn bytes(&self) -> &'data [u8] {
        self.bytes
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &BundleTable {
        &self.table
    }

    /// The image at `index` of the table; `None` past its end. Costs what [`Image::parse`] does.
    ///
    /// # Errors
    ///
    /// As [`Image::parse`], with the variant's number, and when the image is not what its row says.
    pub fn image(&self, index: usize) -> Option<Result<Image<'data>>> {
        let variant = self.table.variants.get(index)?;
        Some(self.parse_image(index, variant))
    }

    /// The image of the best variant for a CPU: see [`BundleTable::choose`]. No other is looked at.
    ///
    /// # Errors
    ///
    /// [`Error::NoVariant`] when the CPU runs none; as [`Bundle::image`].
    pub fn choose(&self, machine: Machine, features: CpuFeatures) -> Result<Image<'data>> {
        let index = self.table.choose(machine, features)?;
        self.parse_image(index, &self.table.variants[index])
    }

    fn parse_image(&self, index: usize, variant: &Variant) -> Result<Image<'data>> {
        self.check_signers()?;
        let image = variant.image(&self.bytes[variant.in_memory()]);
        image.map_err(|source| in_variant(index, source))
    }

    /// Checks that all variants are signed with one key, or none is. Reads their last bytes, and trusts no signature. Who
    /// takes an image of the bundle need not call it.
    ///
    /// # Errors
    ///
    /// [`Error::DifferentSigners`].
    pub fn check_signers(&self) -> Result<()> {
        BundleTable::check_signers((self.table.variants.iter()).map(|variant| self.signer(variant)))
    }

    /// The key that a variant says it is signed with.
    pub(crate) fn signer(&self, variant: &Variant) -> Option<KeyId> {
        CodeSignature::signer(&self.bytes[variant.in_memory()])
    }

    /// Checks all that [`Bundle::parse`] does not look at: that each image is one, is what its row says and has its
    /// digest, and that nothing is between them. Reads every byte.
    ///
    /// # Errors
    ///
    /// An [`Error`] naming the variant and what is wrong with it.
    pub fn verify(&self) -> Result<()> {
        let mut end = HEAD_SIZE + self.table.variants.len() * ROW_SIZE;
        for (index, variant) in self.table.variants.iter().enumerate() {
            let image = self.parse_image(index, variant)?;
            let digest = image.verify_digest();
            digest.map_err(|source| in_variant(index, source))?;
            let range = variant.in_memory();
            if self.bytes[end..range.start].iter().any(|&byte| byte != 0) {
                return Err(wrong_row(index, "the bytes before its image are not zero"));
            }
            end = range.end;
        }
        Ok(())
    }
}

const TABLE: &str = "table of the bundle";
const EMPTY: &str = "it has no variant";
const TOO_MANY: &str = "it has more than 1024 variants";

fn check_order(variants: &[Variant]) -> Result<()> {
    for (index, pair) in variants.windows(2).enumerate() {
        let [key, next] = [&pair[0], &pair[1]].map(Variant::key);
        if key == next {
            return Err(wrong_row(
                index + 1,
                "it is for the same CPUs as the one before it",
            ));
        }
        if key > next {
            return Err(wrong_row(index + 1, "it is out of order"));
        }
    }
    Ok(())
}

/// Checks that the images are where the form wants them, after a table of `table_size` bytes.
fn check_places(variants: &[Variant], table_size: u64, file_size: u64) -> Result<()> {
    let mut end = table_size;
    for (index, Variant { range, .. }) in variants.iter().enumerate() {
        if range.is_empty() {
            return Err(wrong_row(index, "its image is empty"));
        }
        if range.start < end {
            return Err(wrong_row(index, "its image overlaps what is before it"));
        }
        let align = align(range.end - range.start);
        if Some(range.start) != end.checked_next_multiple_of(align) {
            return Err(wrong_row(index, "its image is not where it has to be"));
        }
        end = range.end;
    }
    if end > file_size {
        return Err(cut("the last variant", end, file_size));
    }
    if end < file_size {
        return Err(Error::Corrupt {
            what: "bundle",
            reason: "something follows the last variant",
        });
    }
    Ok(())
}

/// What the start of an image of `size` bytes is a multiple of.
const fn align(size: u64) -> u64 {
    if size >= LARGE {
        LARGE_ALIGN
    } else {
        SMALL_ALIGN
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn cut(what: &'static str, end: u64, size: u64) -> Error {
    Error::Truncated { what, end, size }
}

fn wrong_row(index: usize, reason: &'static str) -> Error {
    Error::CorruptEntry {
        what: "variant",
        index,
        reason,
    }
}

fn in_variant(index: usize, source: Error) -> Error {
    Error::Variant {
        index,
        source: Box::new(source),
    }
}

fn no_variant(variants: &[Variant], machine: Machine, features: CpuFeatures) -> Error {
    let why = |variant: &Variant| {
        let name = variant.name();
        if variant.e_machine != machine.e_machine() {
            return format!("{name}: another machine");
        }
        let names = describe::missing(machine, variant.requires.without(features));
        format!("{name}: it lacks {}", names.join(", "))
    };
    let level = machine.cpu_level(features);
    Error::NoVariant {
        machine,
        level: level.map_or(machine.baseline_cpu(), |level| level.name),
        variants: variants.iter().map(why).collect(),
    }
}
