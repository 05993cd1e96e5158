//! The content address of an image.

use std::fmt;
use std::str::FromStr;

/// Bytes in a [`Digest`].
pub const DIGEST_SIZE: usize = 32;

/// BLAKE3 of an image's bytes, taken with the digest's own bytes in the build-id note as zero.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Digest([u8; DIGEST_SIZE]);

impl Digest {
    /// The digest with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; DIGEST_SIZE]) -> Self {
        Self(bytes)
    }

    /// The bytes, in the order in which they are printed.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; DIGEST_SIZE] {
        &self.0
    }

    /// The digest of `bytes` with the [`DIGEST_SIZE`] bytes from `hole` on taken as zero.
    ///
    /// `None` when the hole does not lie in `bytes`. Reads every byte once.
    #[must_use]
    pub fn of_with_hole(bytes: &[u8], hole: usize) -> Option<Self> {
        let end = hole.checked_add(DIGEST_SIZE)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(bytes.get(..hole)?);
        hasher.update(&[0; DIGEST_SIZE]);
        hasher.update(bytes.get(end..)?);
        Some(Self(*hasher.finalize().as_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A text that is not a digest: 64 hexadecimal digits are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: not a digest, which is {} hexadecimal digits", 2 * DIGEST_SIZE)]
pub struct ParseDigestError {
    /// The text.
    pub text: String,
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDigestError {
            text: text.to_owned(),
        };
        if text.len() != 2 * DIGEST_SIZE || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(error());
        }
        let mut bytes = [0; DIGEST_SIZE];
        for (byte, pair) in bytes.iter_mut().zip(0..) {
            *byte = u8::from_str_radix(&text[2 * pair..2 * pair + 2], 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        let digest = Digest::of_with_hole(&[7; 100], 3).unwrap();
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("".parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }

    #[test]
    fn the_hole_does_not_count_and_the_rest_does() {
        let mut bytes = [7; 100];
        let digest = Digest::of_with_hole(&bytes, 3).unwrap();
        bytes[10] = 8;
        assert_eq!(Digest::of_with_hole(&bytes, 3).unwrap(), digest);
        bytes[2] = 8;
        assert_ne!(Digest::of_with_hole(&bytes, 3).unwrap(), digest);
        assert!(Digest::of_with_hole(&bytes, 69).is_none());
    }
}
