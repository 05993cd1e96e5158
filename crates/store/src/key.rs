//! What an entry is found by.

use std::fmt;

/// A content address: the digest of all that decides an entry's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; Key::SIZE]);

impl Key {
    /// Bytes in a key.
    pub const SIZE: usize = 32;

    /// The bytes, in the order in which they are printed.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// The key that prints as `text`, which is 64 lower-case hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let hash = blake3::Hash::from_hex(text).ok()?;
        let key = Self(*hash.as_bytes());
        (key.to_string() == text).then_some(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Makes a [`Key`] of named fields.
///
/// Two keys are equal when their purposes are and all their fields, with names, in the same order. Names and bytes go into the digest
/// with their lengths before them, so that no field runs into the next.
#[derive(Debug, Clone)]
#[must_use = "a key is what `finish` gives"]
pub struct KeyBuilder(blake3::Hasher);

impl KeyBuilder {
    /// A key for entries of this purpose, which keeps them apart from all others.
    pub fn new(purpose: &str) -> Self {
        let hasher = blake3::Hasher::new_derive_key("farcall-store 1: key");
        Self(hasher).field("purpose", purpose.as_bytes())
    }

    /// Adds a field. Costs a pass over its bytes.
    pub fn field(mut self, name: &str, bytes: &[u8]) -> Self {
        for part in [name.as_bytes(), bytes] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds a field that is a number.
    pub fn number(self, name: &str, number: u64) -> Self {
        self.field(name, &number.to_le_bytes())
    }

    /// The key.
    #[must_use]
    pub fn finish(self) -> Key {
        Key(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(purpose: &str, fields: &[(&str, &[u8])]) -> Key {
        let builder = KeyBuilder::new(purpose);
        let add = |builder: KeyBuilder, field: &(&str, &[u8])| builder.field(field.0, field.1);
        fields.iter().fold(builder, add).finish()
    }

    #[test]
    fn every_part_counts() {
        let keys = [
            key("p", &[]),
            key("q", &[]),
            key("p", &[("a", b"1")]),
            key("p", &[("b", b"1")]),
            key("p", &[("a", b"2")]),
            key("p", &[("a", b"")]),
            key("p", &[("a", b"1"), ("b", b"2")]),
            key("p", &[("b", b"2"), ("a", b"1")]),
            key("p", &[("a", b"1"), ("a", b"1")]),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(one), "number {index}");
        }
        assert_eq!(keys[2], key("p", &[("a", b"1")]));
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(key("p", &[("ab", b"c")]), key("p", &[("a", b"bc")]));
        let inside = [b"1".as_slice(), &1_u64.to_le_bytes(), b"b"].concat();
        assert_ne!(
            key("p", &[("a", b"1"), ("b", b"")]),
            key("p", &[("a", &inside)])
        );
    }

    #[test]
    fn text_and_bytes_agree() {
        let one = key("p", &[]);
        assert_eq!(Key::from_hex(&one.to_string()), Some(one));
        assert_eq!(Key::from_hex(&one.to_string().to_uppercase()), None);
        assert_eq!(Key::from_hex(""), None);
        assert_eq!(Key::from_hex(&"é".repeat(32)), None);
    }
}
