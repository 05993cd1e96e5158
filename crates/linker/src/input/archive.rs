//! Archives (`ar`).

use std::collections::HashMap;

use foldhash::fast::FixedState;
use object::read::archive::ArchiveFile;

use crate::error::{Error, Result};
use crate::input::Object;

/// An archive: objects that are linked when they are needed.
#[derive(Debug)]
pub(crate) struct Archive<'data> {
    name: String,
    /// Whether its members are linked on demand only, even when there is no other input.
    pub(crate) is_library: bool,
    with_debug_info: bool,
    members: Vec<(String, &'data [u8])>,
    /// Names that members define and the member of each, in the order of the archive's own index.
    pub(crate) definitions: Vec<(&'data [u8], usize)>,
}

impl<'data> Archive<'data> {
    pub(crate) fn is_archive(bytes: &[u8]) -> bool {
        bytes.starts_with(b"!<arch>\n") || bytes.starts_with(b"!<thin>\n")
    }

    pub(crate) fn parse(
        name: &str,
        bytes: &'data [u8],
        is_library: bool,
        with_debug_info: bool,
    ) -> Result<Self> {
        let malformed = |error: object::read::Error| Error::MalformedArchive {
            archive: name.to_owned(),
            reason: error.to_string(),
        };
        let file = ArchiveFile::parse(bytes).map_err(malformed)?;
        if file.is_thin() {
            return Err(Error::ThinArchive {
                archive: name.to_owned(),
            });
        }
        let mut archive = Self {
            name: name.to_owned(),
            is_library,
            with_debug_info,
            members: Vec::new(),
            definitions: Vec::new(),
        };
        let mut offsets = HashMap::<u64, usize, FixedState>::default();
        for member in file.members() {
            let member = member.map_err(malformed)?;
            let member_name = String::from_utf8_lossy(member.name());
            let data = member.data(bytes).map_err(malformed)?;
            offsets.insert(member.file_range().0, archive.members.len());
            archive
                .members
                .push((format!("{name}({member_name})"), data));
        }
        match file.symbols().map_err(malformed)? {
            Some(symbols) => {
                for symbol in symbols {
                    let symbol = symbol.map_err(malformed)?;
                    let member = file.member(symbol.offset()).map_err(malformed)?;
                    if let Some(&member) = offsets.get(&member.file_range().0) {
                        archive.definitions.push((symbol.name(), member));
                    }
                }
            }
            None => archive.index_members()?,
        }
        Ok(archive)
    }

    /// Collects what the members define, for an archive without an index: `ar` makes none for
    /// members that it does not know.
    fn index_members(&mut self) -> Result<()> {
        for (index, (name, bytes)) in self.members.iter().enumerate() {
            if bytes.starts_with(b"BC\xc0\xde") {
                return Err(Error::Bitcode {
                    object: name.clone(),
                });
            }
            // What is no object (a text file, say) defines nothing.
            if !bytes.starts_with(b"\x7fELF") {
                continue;
            }
            // For its names only.
            let object = Object::parse(name.clone(), bytes, false)?;
            let defined = object
                .globals()
                .iter()
                .filter(|symbol| symbol.is_definition());
            self.definitions
                .extend(defined.map(|symbol| (symbol.name, index)));
        }
        Ok(())
    }

    /// Reads the members that are objects, in their order.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Result<Object<'data>>> {
        let objects = self
            .members
            .iter()
            .filter(|(_, bytes)| bytes.starts_with(b"\x7fELF"));
        objects.map(|(name, bytes)| Object::parse(name.clone(), bytes, self.with_debug_info))
    }

    /// Reads the member at `index`.
    pub(crate) fn member(&self, index: usize) -> Result<Object<'data>> {
        let (name, bytes) = self
            .members
            .get(index)
            .ok_or_else(|| Error::MalformedArchive {
                archive: self.name.clone(),
                reason: "no such member".to_owned(),
            })?;
        Object::parse(name.clone(), bytes, self.with_debug_info)
    }
}
