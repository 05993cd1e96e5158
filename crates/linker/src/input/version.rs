//! Versions in symbol names, as assemblers write them for `.symver`: `name@VERSION` asks for that version of a
//! name or defines one that only who asks for it gets, and `name@@VERSION` defines the one that all others get.
//!
//! Images have no versions. A definition of the default version is one of the plain name; the others keep
//! the name with its version, and so do imports, for the loader to ask for that version.

/// The plain name and the version of a definition of the default version.
pub(crate) fn default_version(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'@', name)?;
    let version = name[at..].strip_prefix(b"@@")?;
    (at > 0).then_some((&name[..at], version))
}

/// The plain name of one that asks for a version, and the version.
pub(crate) fn wanted_version(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'@', name)?;
    Some((&name[..at], &name[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_version_has_two_signs() {
        assert_eq!(default_version(b"f@@V1"), Some((&b"f"[..], &b"V1"[..])));
        assert_eq!(default_version(b"f@V1"), None);
        assert_eq!(default_version(b"@@V1"), None);
        assert_eq!(wanted_version(b"f@V1"), Some((&b"f"[..], &b"V1"[..])));
    }
}
