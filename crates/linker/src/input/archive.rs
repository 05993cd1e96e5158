//! Archives (`ar`).

use std::collections::HashMap;

use foldhash::fast::FixedState;
use object::read::archive::{ArchiveFile, ArchiveMember};

use super::version::Versioned;
use crate::error::{Error, Result};
use crate::input::{Object, is_bitcode};

/// A member of an archive: how errors call it, `lib.a(member.o)`, and its bytes.
pub type Member<'data> = (String, &'data [u8]);

/// The members of an archive, each as errors call it (`lib.a(member.o)`), in their order; `None` when the
/// bytes are no archive.
///
/// For whoever makes objects of some members, such as those that are bitcode: see
/// [`Linker::add_members`](crate::Linker::add_members).
///
/// # Errors
///
/// What is wrong with the archive. Members are not looked into.
pub fn archive_members<'data>(
    name: &str,
    bytes: &'data [u8],
) -> Result<Option<Vec<Member<'data>>>> {
    if !Archive::is_archive(bytes) {
        return Ok(None);
    }
    let file = parse(name, bytes)?;
    let members = file.members().map(|member| match member {
        Ok(member) => named(name, bytes, &member),
        Err(error) => Err(Error::MalformedArchive {
            archive: name.to_owned(),
            reason: error.to_string(),
        }),
    });
    Ok(Some(members.collect::<Result<_>>()?))
}

fn parse<'data>(name: &str, bytes: &'data [u8]) -> Result<ArchiveFile<'data>> {
    let file = ArchiveFile::parse(bytes).map_err(|error| Error::MalformedArchive {
        archive: name.to_owned(),
        reason: error.to_string(),
    })?;
    if file.is_thin() {
        return Err(Error::ThinArchive {
            archive: name.to_owned(),
        });
    }
    Ok(file)
}

/// A member's name in errors, and its bytes.
fn named<'data>(
    archive: &str,
    bytes: &'data [u8],
    member: &ArchiveMember<'data>,
) -> Result<Member<'data>> {
    let data = (member.data(bytes)).map_err(|error| Error::MalformedArchive {
        archive: archive.to_owned(),
        reason: error.to_string(),
    })?;
    let name = String::from_utf8_lossy(member.name());
    Ok((format!("{archive}({name})"), data))
}

/// Whether a member is an object, or bitcode, which is refused by name; what is neither (a text file,
/// say) defines nothing.
fn may_be_object(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF") || is_bitcode(bytes)
}

/// An archive: objects that are linked when they are needed.
#[derive(Debug)]
pub(crate) struct Archive<'data> {
    pub(crate) name: String,
    /// Whether its members are linked on demand only, even when there is no other input.
    pub(crate) is_library: bool,
    with_debug_info: bool,
    members: Vec<Member<'data>>,
    /// Names that members define and the member of each, in the order of the archive's own index.
    pub(crate) definitions: Vec<(Versioned<'data>, usize)>,
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
        let file = parse(name, bytes)?;
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
            offsets.insert(member.file_range().0, archive.members.len());
            archive.members.push(named(name, bytes, &member)?);
        }
        match file.symbols().map_err(malformed)? {
            Some(symbols) => {
                for symbol in symbols {
                    let symbol = symbol.map_err(malformed)?;
                    let member = file.member(symbol.offset()).map_err(malformed)?;
                    if let Some(&member) = offsets.get(&member.file_range().0) {
                        let names = Versioned::defined(symbol.name());
                        archive.definitions.extend(names.map(|name| (name, member)));
                    }
                }
            }
            None => archive.index_members()?,
        }
        Ok(archive)
    }

    /// An archive of these members, each with its name.
    pub(crate) fn of_members(
        name: &str,
        members: &[Member<'data>],
        with_debug_info: bool,
    ) -> Result<Self> {
        let mut archive = Self {
            name: name.to_owned(),
            is_library: false,
            with_debug_info,
            members: members.to_vec(),
            definitions: Vec::new(),
        };
        archive.index_members()?;
        Ok(archive)
    }

    /// Collects what the members define, for an archive without an index: `ar` makes none for
    /// members that it does not know.
    fn index_members(&mut self) -> Result<()> {
        for (index, (name, bytes)) in self.members.iter().enumerate() {
            if !may_be_object(bytes) {
                continue;
            }
            // For its names only.
            let object = Object::parse(name.clone(), bytes, false)?;
            let defined = object
                .globals()
                .iter()
                .filter(|symbol| symbol.is_definition());
            let names = defined.map(|symbol| Versioned::wanted(symbol.name));
            let defaults = (object.default_versions.iter())
                .map(|&(name, version)| Versioned::new(name, Some(version)));
            self.definitions
                .extend(names.chain(defaults).map(|name| (name, index)));
        }
        Ok(())
    }

    /// Reads the members that are objects, in their order.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Result<Object<'data>>> {
        let objects = (self.members.iter()).filter(|(_, bytes)| may_be_object(bytes));
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
