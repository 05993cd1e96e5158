//! Public keys and what they are called.

use std::fmt;
use std::str::FromStr;

use farcall_image::{KeyId, SIGNATURE_SIZE};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::base64;

/// Bytes in a public key.
pub(crate) const PUBLIC_KEY_SIZE: usize = 32;

const MAX_NAME_SIZE: usize = 64;

/// What people call a key: 1 to 64 ASCII letters, digits and `._@+-`, the first a letter or a digit. So it is a file name in its
/// folder wherever it comes from, and a word of a policy file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no name of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?}: not a name of a key, which is 1 to 64 letters, digits and ._@+-, the first a letter or a digit"
)]
pub struct ParseKeyNameError {
    /// The text.
    pub text: String,
}

impl FromStr for KeyName {
    type Err = ParseKeyNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = text.len() <= MAX_NAME_SIZE
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && (text.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte));
        match is_name {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseKeyNameError {
                text: text.to_owned(),
            }),
        }
    }
}

/// A key that signatures are verified with. As text, `ID BASE64 NAME`, which is what policies have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; PUBLIC_KEY_SIZE],
    id: KeyId,
    name: KeyName,
}

impl PublicKey {
    /// The key with these bytes (RFC 8032, section 5.1.5).
    #[must_use]
    pub fn new(bytes: [u8; PUBLIC_KEY_SIZE], name: KeyName) -> Self {
        let id = id_of(&bytes);
        Self { bytes, id, name }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_SIZE] {
        &self.bytes
    }

    /// Its id: the first 8 bytes of BLAKE3 of its bytes.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Whether `signature` is one of `message` with this key.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8; SIGNATURE_SIZE]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.bytes);
        key.verify(message, signature).is_ok()
    }
}

fn id_of(bytes: &[u8; PUBLIC_KEY_SIZE]) -> KeyId {
    let hash = blake3::hash(bytes);
    let first = hash.as_bytes().first_chunk();
    KeyId::from_bytes(*first.expect("a hash has 32 bytes"))
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = base64::encode(&self.bytes);
        write!(f, "{} {bytes} {}", self.id, self.name)
    }
}

/// A text that is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseKeyError {
    /// It has another number of words.
    #[error("not a key, which is ID BASE64 NAME: farcall key show prints it")]
    Form,
    /// The first word is no id.
    #[error(transparent)]
    Id(#[from] farcall_image::ParseKeyIdError),
    /// The second word is not 32 bytes in Base64.
    #[error("{text:?}: not a key of 32 bytes in Base64")]
    Bytes {
        /// The word.
        text: String,
    },
    /// The third word is no name.
    #[error(transparent)]
    Name(#[from] ParseKeyNameError),
    /// The first word is another key's id.
    #[error(
        "the id of this key is {found}, not {stated}: a digit of the one or the other is wrong"
    )]
    OtherId {
        /// What the first word says.
        stated: KeyId,
        /// What the key has.
        found: KeyId,
    },
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [id, bytes, name] = words[..] else {
            return Err(ParseKeyError::Form);
        };
        let stated: KeyId = id.parse()?;
        let decoded = base64::decode(bytes).ok_or_else(|| ParseKeyError::Bytes {
            text: bytes.to_owned(),
        })?;
        let key = Self::new(decoded, name.parse()?);
        match key.id == stated {
            true => Ok(key),
            false => Err(ParseKeyError::OtherId {
                stated,
                found: key.id,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text() {
        let key = PublicKey::new([7; PUBLIC_KEY_SIZE], "build@example".parse().unwrap());
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key.clone()));
        let id = key.id().to_string();
        assert!(text.starts_with(&format!("{id} BwcHBwcH")), "{text}");
        let other = text.replace(&id, "0000000000000000");
        let Err(ParseKeyError::OtherId { found, .. }) = other.parse::<PublicKey>() else {
            panic!("{other}");
        };
        assert_eq!(found, key.id());
        for wrong in [
            "",
            "0000000000000000",
            &format!("{text} more"),
            &text.replace("BwcHB", "BwcH!"),
            &text.replace("build@", "../build@"),
        ] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_no_paths() {
        let long = "a".repeat(MAX_NAME_SIZE);
        for name in ["a", "Build-1", "release_2026.11", "me@example.org", &long] {
            assert_eq!(name.parse::<KeyName>().unwrap().as_str(), name);
        }
        for wrong in [
            "",
            ".",
            "..",
            "../a",
            "a/b",
            "/a",
            "-a",
            "~a",
            "a b",
            "a\nb",
            "a\0",
            "é",
            "a\\b",
            "*",
            &format!("{long}a"),
        ] {
            assert!(wrong.parse::<KeyName>().is_err(), "{wrong}");
        }
    }

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn a_signature_of_the_specification() {
        let hex = |text: &str| -> Vec<u8> {
            let pairs = text.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            pairs.map(byte).collect()
        };
        let key = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = hex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        let key = PublicKey::new(key.try_into().unwrap(), "rfc".parse().unwrap());
        let mut signature: [u8; SIGNATURE_SIZE] = signature.try_into().unwrap();
        assert!(key.signed(&[0x72], &signature));
        assert!(!key.signed(&[0x73], &signature));
        signature[0] ^= 1;
        assert!(!key.signed(&[0x72], &signature));
    }
}
