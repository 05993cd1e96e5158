//! Versions in symbol names, as assemblers write them for `.symver`: `name@VERSION` asks for that version of a
//! name or defines one that only who asks for it gets, and `name@@VERSION` defines the one that all others get.
//!
//! Images have no versions. A definition of the default version is one of the plain name; the others keep
//! the name with its version, and so do imports, for the loader to ask for that version.

/// A name, and the version of it that is meant when there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Versioned<'name> {
    pub(crate) name: &'name [u8],
    pub(crate) version: Option<&'name [u8]>,
}

impl<'name> Versioned<'name> {
    pub(crate) fn new(name: &'name [u8], version: Option<&'name [u8]>) -> Self {
        Self { name, version }
    }

    /// What a symbol's name asks for, or the one that it defines when that is no default.
    pub(crate) fn wanted(name: &'name [u8]) -> Self {
        match memchr::memchr(b'@', name) {
            Some(at) => Self::new(&name[..at], Some(&name[at + 1..])),
            None => Self::new(name, None),
        }
    }

    /// What a definition of this name is an answer to.
    pub(crate) fn defined(name: &'name [u8]) -> impl Iterator<Item = Self> {
        let default = default_version(name);
        let plain = default.map(|(name, _)| Self::new(name, None));
        let versioned = default.map_or(Self::wanted(name), |(name, version)| {
            Self::new(name, Some(version))
        });
        plain.into_iter().chain([versioned])
    }
}

/// The plain name and the version of a definition of the default version.
pub(crate) fn default_version(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'@', name)?;
    let version = name[at..].strip_prefix(b"@@")?;
    (at > 0).then_some((&name[..at], version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_version_has_two_signs() {
        assert_eq!(default_version(b"f@@V1"), Some((&b"f"[..], &b"V1"[..])));
        assert_eq!(default_version(b"f@V1"), None);
        assert_eq!(default_version(b"@@V1"), None);
    }

    #[test]
    fn a_default_version_is_found_with_it_and_without() {
        let (plain, first) = (
            Versioned::new(b"f", None),
            Versioned::new(b"f", Some(b"V1")),
        );
        assert_eq!(Versioned::wanted(b"f"), plain);
        assert_eq!(Versioned::wanted(b"f@V1"), first);
        assert!(Versioned::defined(b"f@@V1").eq([plain, first]));
        assert!(Versioned::defined(b"f@V1").eq([first]));
        assert!(Versioned::defined(b"f").eq([plain]));
    }
}
