//! Names that mean a part of the image, which linkers define when someone refers to them.

/// A part of the image that a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkerSymbol {
    /// The image's first byte: `__ehdr_start`, `__executable_start`.
    ImageStart,
    /// `__dso_handle`: what tells the image from others, see `Image::dso_handle`.
    ImageIdentity,
    /// `_GLOBAL_OFFSET_TABLE_`.
    GlobalOffsetTable,
    /// `_TLS_MODULE_BASE_`: the start of the image's TLS block.
    TlsModuleBase,
    /// `_DYNAMIC`.
    Dynamic,
    /// `__GNU_EH_FRAME_HDR`.
    UnwindHeader,
    /// `_etext`: the end of the code.
    TextEnd,
    /// `_edata`: the end of the initialised data.
    DataEnd,
    /// `__bss_start`: the start of the zeroed data.
    BssStart,
    /// `_end`: the end of the image.
    ImageEnd,
    /// `__init_array_start` and the like.
    Array(ArrayKind, Boundary),
    /// `__start_NAME` and `__stop_NAME`; the name is the global's after the prefix.
    Section(Boundary),
}

/// A table of function pointers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArrayKind {
    Preinit,
    Init,
    Fini,
}

/// Which end of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boundary {
    Start,
    Stop,
}

const START_PREFIX: &[u8] = b"__start_";
const STOP_PREFIX: &[u8] = b"__stop_";

impl LinkerSymbol {
    /// Whether it is a part that only loading needs, so that a packed image does not have it in memory.
    pub(crate) fn is_for_loading(self) -> bool {
        matches!(self, Self::ImageStart | Self::Dynamic | Self::UnwindHeader)
    }

    /// What `name` means, if it is such a name. `section_exists` tells whether the image has a
    /// section of a name.
    pub(crate) fn named(name: &[u8], section_exists: impl Fn(&[u8]) -> bool) -> Option<Self> {
        use Boundary::{Start, Stop};
        Some(match name {
            b"__dso_handle" => Self::ImageIdentity,
            b"__ehdr_start" | b"__executable_start" => Self::ImageStart,
            b"_GLOBAL_OFFSET_TABLE_" => Self::GlobalOffsetTable,
            b"_TLS_MODULE_BASE_" => Self::TlsModuleBase,
            b"_DYNAMIC" => Self::Dynamic,
            b"__GNU_EH_FRAME_HDR" => Self::UnwindHeader,
            b"_etext" | b"etext" => Self::TextEnd,
            b"_edata" | b"edata" => Self::DataEnd,
            b"__bss_start" => Self::BssStart,
            b"_end" | b"end" => Self::ImageEnd,
            b"__preinit_array_start" => Self::Array(ArrayKind::Preinit, Start),
            b"__preinit_array_end" => Self::Array(ArrayKind::Preinit, Stop),
            b"__init_array_start" => Self::Array(ArrayKind::Init, Start),
            b"__init_array_end" => Self::Array(ArrayKind::Init, Stop),
            b"__fini_array_start" => Self::Array(ArrayKind::Fini, Start),
            b"__fini_array_end" => Self::Array(ArrayKind::Fini, Stop),
            _ => {
                let start = section_of(name, START_PREFIX).map(|section| (section, Start));
                let (section, end) = start
                    .or_else(|| section_of(name, STOP_PREFIX).map(|section| (section, Stop)))?;
                return section_exists(section).then_some(Self::Section(end));
            }
        })
    }
}

/// The section that a `__start_` or `__stop_` name is about: one named as a C identifier.
pub(crate) fn bounded_section(name: &[u8]) -> Option<&[u8]> {
    section_of(name, START_PREFIX).or_else(|| section_of(name, STOP_PREFIX))
}

fn section_of<'name>(name: &'name [u8], prefix: &[u8]) -> Option<&'name [u8]> {
    let section = name.strip_prefix(prefix)?;
    is_identifier(section).then_some(section)
}

/// Whether a section's name is one that a C program can write after `__start_`.
pub(crate) fn is_identifier(name: &[u8]) -> bool {
    name.first().is_some_and(|first| !first.is_ascii_digit())
        && name
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
