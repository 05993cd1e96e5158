//! Output sections: which there are, what goes into each and in which order they stand.

use object::elf;

use crate::input::Section;
use crate::resolve::GlobalId;

/// The segments of an image, in the order of their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SegmentKind {
    /// Headers, tables, constants.
    ReadOnly,
    /// Code.
    Text,
    /// Data that is read-only once relocated.
    Relro,
    /// Data.
    Data,
}

impl SegmentKind {
    pub(crate) const ALL: [Self; 4] = [Self::ReadOnly, Self::Text, Self::Relro, Self::Data];
}

/// One section of the image.
#[derive(Debug)]
pub(crate) struct OutputSection<'data> {
    pub(crate) name: &'data [u8],
    pub(crate) segment: SegmentKind,
    pub(crate) section_type: elf::SectionType,
    /// `SHF_*` bits.
    pub(crate) flags: u64,
    pub(crate) entry_size: u64,
    pub(crate) align: u64,
    pub(crate) content: Content,
    pub(crate) size: u64,
    /// Offset in the segment until addresses are given, then the address.
    pub(crate) address: u64,
    pub(crate) file_offset: u64,
}

/// What an output section holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Pieces of the inputs, each with its offset in the section.
    Pieces(Vec<(Piece, u64)>),
    /// Something that the linker makes.
    Synthetic(Synthetic),
}

/// A part of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A whole section.
    Section { object: usize, section: usize },
    /// The kept records of the unwind section with this index.
    Unwind(usize),
    /// A common symbol.
    Common(GlobalId),
    /// The island of thunks with this index.
    Thunks(usize),
    /// The four zero bytes that end `.eh_frame`.
    UnwindTerminator,
}

/// A section that the linker makes, in the order in which they stand within their segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Synthetic {
    /// First, where its alignment costs nothing.
    Properties,
    /// The build-id, then the manifest: one section, because a header of its own is larger than most manifests.
    Notes,
    DynamicSymbols,
    GnuHash,
    DynamicStrings,
    Relocations,
    RelativeRelocations,
    UnwindHeader,
    Plt,
    Dynamic,
    Got,
}

impl OutputSection<'_> {
    pub(crate) fn is_nobits(&self) -> bool {
        self.section_type == elf::SHT_NOBITS
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.flags & elf::SHF_TLS.0 != 0
    }

    /// Whether it takes addresses of its own: the zeroed part of the TLS template does not.
    pub(crate) fn takes_addresses(&self) -> bool {
        !(self.is_tls() && self.is_nobits())
    }

    /// Where it stands among the sections of its segment.
    pub(crate) fn rank(&self) -> u32 {
        if let Content::Synthetic(synthetic) = self.content {
            return match synthetic {
                Synthetic::Plt | Synthetic::Got => 60,
                // Last of what has bytes, as tables that only loading needs are first in their segment: what a
                // packed image has in memory lies between them.
                Synthetic::Dynamic => 98,
                other => other as u32,
            };
        }
        match (self.is_tls(), self.is_nobits(), self.section_type) {
            (true, false, _) => 20,
            (true, true, _) => 21,
            (_, _, elf::SHT_INIT_ARRAY) => 22,
            (_, _, elf::SHT_FINI_ARRAY) => 23,
            (_, true, _) if is_far(self.name) => 100,
            (_, true, _) => 99,
            _ if self.name == b".eh_frame" => 51,
            _ => 30,
        }
    }
}

/// The output section that an input section goes to: its name, segment and type.
pub(crate) fn destination<'data>(
    section: &Section<'data>,
) -> (&'data [u8], SegmentKind, elf::SectionType) {
    let is_tls = section.has_flag(elf::SHF_TLS);
    let name: &[u8] = match section.section_type {
        // The template has two parts, whatever the objects call theirs.
        elf::SHT_NOBITS if is_tls => b".tbss",
        _ if is_tls => b".tdata",
        elf::SHT_INIT_ARRAY => b".init_array",
        elf::SHT_FINI_ARRAY => b".fini_array",
        elf::SHT_NOBITS => zeroed_name(output_name(section.name), section.size),
        _ => output_name(section.name),
    };
    let section_type = match section.section_type {
        elf::SHT_NOBITS | elf::SHT_NOTE => section.section_type,
        _ if name == b".init_array" => elf::SHT_INIT_ARRAY,
        _ if name == b".fini_array" => elf::SHT_FINI_ARRAY,
        // SHT_X86_64_UNWIND and the like are bytes to us.
        _ => elf::SHT_PROGBITS,
    };
    let segment = if section.has_flag(elf::SHF_EXECINSTR) {
        SegmentKind::Text
    } else if is_tls || is_relro(name) {
        SegmentKind::Relro
    } else if !section.has_flag(elf::SHF_WRITE) && !section.is_nobits() {
        SegmentKind::ReadOnly
    } else {
        SegmentKind::Data
    };
    (name, segment, section_type)
}

/// Sections of these names, and of these names with a suffix, are one in the image.
const MERGED: &[&[u8]] = &[
    b".text",
    b".rodata",
    b".data.rel.ro",
    b".data",
    b".bss.rel.ro",
    b".bss",
    b".tdata",
    b".tbss",
    b".init_array",
    b".fini_array",
    b".gcc_except_table",
    b".ldata",
    b".lrodata",
    b".lbss",
    b".ltext",
];

fn output_name(name: &[u8]) -> &[u8] {
    for &prefix in MERGED {
        if let Some(rest) = name.strip_prefix(prefix)
            && (rest.is_empty() || rest[0] == b'.')
        {
            return &name[..prefix.len()];
        }
    }
    name
}

/// From so many bytes on zeroed data is far: code models other than the small one do not tell it apart.
const FAR_SIZE: u64 = 1 << 30;

/// Zeroed sections stand apart from those with bytes, whose zeroes would be in the file.
pub(crate) fn zeroed_name(name: &[u8], size: u64) -> &[u8] {
    match name {
        b".data" | b".bss" if size >= FAR_SIZE => b".lbss",
        b".data" => b".bss",
        b".data.rel.ro" => b".bss.rel.ro",
        b".ldata" => b".lbss",
        _ => name,
    }
}

/// Whether an output section may lie farther away than 32-bit displacements reach: zeroed data of the medium
/// and large code models, which is last. What has bytes in the file is never that large.
pub(crate) fn is_far(name: &[u8]) -> bool {
    name == b".lbss"
}

/// Whether a section is a table of constructors or destructors.
pub(crate) fn is_array(section: &Section<'_>) -> bool {
    matches!(destination(section).0, b".init_array" | b".fini_array")
}

fn is_relro(name: &[u8]) -> bool {
    matches!(
        name,
        b".data.rel.ro" | b".bss.rel.ro" | b".init_array" | b".fini_array"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_with_a_suffix_join_the_one_without() {
        assert_eq!(output_name(b".text.unlikely.main"), b".text");
        assert_eq!(output_name(b".textual"), b".textual");
        assert_eq!(output_name(b".data.rel.ro.local"), b".data.rel.ro");
        assert_eq!(output_name(b".data.rel.local"), b".data");
        assert_eq!(output_name(b"my_table"), b"my_table");
    }
}
