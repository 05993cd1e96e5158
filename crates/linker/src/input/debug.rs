//! Debug information of an object: which sections hold it, and their bytes, which may be compressed.
//!
//! Source: DWARF 5, "Data Representation"; gABI, "Section Compression".

use std::borrow::Cow;

use object::elf::{self, SectionHeader64};
use object::endian::LittleEndian as LE;
use object::read::elf::{CompressionHeader as _, SectionHeader as _};
use object::read::{CompressedData, CompressionFormat};

use super::object::{ReadError, Section, malformed};

/// No compressor of debug information gains more than this; what claims to is not believed, because
/// memory is taken for it.
const MAX_RATIO: u64 = 4096;

/// What the old form of a compressed section, whose name says that it is one, starts with: this and
/// the size of its contents, 8 bytes in big-endian order.
const OLD_MAGIC: &[u8] = b"ZLIB";

/// Whether a section holds debug information that is to be linked: not what was split off already.
pub(super) fn is_debug_info(section: &Section<'_>) -> bool {
    let is_named = section.name.starts_with(b".debug_") || section.name.starts_with(b".zdebug_");
    is_named
        && !section.is_alloc()
        && !section.has_flag(elf::SHF_EXCLUDE)
        && section.section_type == elf::SHT_PROGBITS
}

/// Replaces the bytes of a compressed section by what they stand for.
pub(super) fn decompress(
    section: &mut Section<'_>,
    header: &SectionHeader64<LE>,
    bytes: &[u8],
) -> Result<(), ReadError> {
    let Some((compressed, align)) = compressed(section, header, bytes)? else {
        return Ok(());
    };
    let name = section.display_name();
    if compressed.uncompressed_size / MAX_RATIO > compressed.data.len() as u64 {
        return malformed(format!(
            "{name}: {} bytes claim to be {} bytes, compressed",
            compressed.data.len(),
            compressed.uncompressed_size
        ));
    }
    let data = match compressed.decompress() {
        Ok(data) => data.into_owned(),
        Err(error) => return malformed(format!("{name}: {error}")),
    };
    section.size = data.len() as u64;
    section.data = Cow::Owned(data);
    section.flags &= !elf::SHF_COMPRESSED.0;
    section.align = align;
    Ok(())
}

/// The compressed bytes of a section and the alignment of what they stand for; `None` when they are
/// not compressed.
fn compressed<'a>(
    section: &'a Section<'_>,
    header: &SectionHeader64<LE>,
    bytes: &'a [u8],
) -> Result<Option<(CompressedData<'a>, u64)>, ReadError> {
    if let Some((compression, offset, size)) = header.compression(LE, bytes)? {
        let format = match compression.ch_type(LE) {
            elf::ELFCOMPRESS_ZLIB => CompressionFormat::Zlib,
            elf::ELFCOMPRESS_ZSTD => CompressionFormat::Zstandard,
            other => {
                let name = section.display_name();
                return malformed(format!("{name}: unknown compression {}", other.0));
            }
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        let data = CompressedData {
            format,
            data: bytes.get(start..end).unwrap_or_default(),
            uncompressed_size: compression.ch_size(LE),
        };
        return Ok(Some((data, compression.ch_addralign(LE))));
    }
    let old = section.data.strip_prefix(OLD_MAGIC);
    let Some((size, data)) = old.and_then(<[u8]>::split_first_chunk) else {
        return Ok(None);
    };
    if !section.name.starts_with(b".zdebug_") {
        return Ok(None);
    }
    let data = CompressedData {
        format: CompressionFormat::Zlib,
        data,
        uncompressed_size: u64::from_be_bytes(*size),
    };
    Ok(Some((data, section.align)))
}
