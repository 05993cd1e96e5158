//! Archives (`ar`).

use object::read::archive::ArchiveFile;

use crate::error::{Error, Result};
use crate::input::Object;

/// An archive: objects that are linked when they are needed.
#[derive(Debug)]
pub(crate) struct Archive<'data> {
    name: String,
    members: Vec<(String, &'data [u8])>,
    /// Names that members define and the member of each, in the order of the archive's own index.
    pub(crate) definitions: Vec<(&'data [u8], usize)>,
}

impl<'data> Archive<'data> {
    pub(crate) fn is_archive(bytes: &[u8]) -> bool {
        bytes.starts_with(b"!<arch>\n") || bytes.starts_with(b"!<thin>\n")
    }

    pub(crate) fn parse(name: &str, bytes: &'data [u8]) -> Result<Self> {
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
        let mut members = Vec::new();
        for member in file.members() {
            let member = member.map_err(malformed)?;
            let member_name = String::from_utf8_lossy(member.name()).into_owned();
            let data = member.data(bytes).map_err(malformed)?;
            members.push((format!("{name}({member_name})"), data));
        }
        let mut archive = Self {
            name: name.to_owned(),
            members,
            definitions: Vec::new(),
        };
        archive.index()?;
        Ok(archive)
    }

    /// Collects what the members define from their symbol tables: the archive's own index is
    /// missing where `ar` did not know the members' format, and may be wrong.
    fn index(&mut self) -> Result<()> {
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
            let object = Object::parse(name.clone(), bytes)?;
            let defined = object
                .globals()
                .iter()
                .filter(|symbol| symbol.is_definition());
            self.definitions
                .extend(defined.map(|symbol| (symbol.name, index)));
        }
        Ok(())
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
        Object::parse(name.clone(), bytes)
    }
}
