//! Debug information: the sections of all objects joined and relocated, in the image or beside it.
//!
//! It is not loaded, so nothing of the image depends on it: it is made after the image is laid out.

mod file;
mod sections;
mod symbols;

pub(crate) use file::debug_file;

use object::elf;

use crate::error::Errors;
use crate::layout::Layout;
use crate::resolve::Resolved;

/// A section that is in the file and not in memory.
#[derive(Debug)]
pub(crate) struct Unloaded {
    pub(crate) name: Vec<u8>,
    pub(crate) section_type: elf::SectionType,
    /// `SHF_*` bits.
    pub(crate) flags: u64,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
    /// Whether its `sh_link` is the section behind it.
    pub(crate) links_to_next: bool,
    /// Its `sh_info`.
    pub(crate) info: u32,
    pub(crate) bytes: Vec<u8>,
}

/// The debug sections, and the table of all symbols with its strings.
pub(crate) fn unloaded_sections(
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
) -> Result<Vec<Unloaded>, Errors> {
    let mut unloaded = sections::joined(resolved, layout)?;
    unloaded.extend(symbols::tables(resolved, layout));
    Ok(unloaded)
}
