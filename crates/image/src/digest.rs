//! The content address of an image.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::{Error, Result};

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
        Some(Hashing::new(bytes, hole)?.finish())
    }
}

/// A check of an image's digest that is done in pieces, for who has something else to do in between.
#[derive(Debug)]
pub struct DigestCheck<'data> {
    hashing: Hashing<'data>,
    expected: Digest,
}

impl<'data> DigestCheck<'data> {
    /// `None` when the hole does not lie in `content`.
    pub(crate) fn new(content: &'data [u8], hole: usize, expected: Digest) -> Option<Self> {
        let hashing = Hashing::new(content, hole)?;
        Some(Self { hashing, expected })
    }

    /// Reads up to `n_bytes` more of the image; gives whether it has more. Powers of two from 16 KiB on are quickest.
    pub fn advance(&mut self, n_bytes: usize) -> bool {
        self.hashing.advance(n_bytes);
        self.hashing.done < self.hashing.bytes.len()
    }

    /// Reads what is left, and compares.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`] when the image has another digest than it carries.
    pub fn finish(self) -> Result<()> {
        let (expected, found) = (self.expected, self.hashing.finish());
        if found == expected {
            return Ok(());
        }
        Err(Error::DigestMismatch { expected, found })
    }
}

/// A digest of bytes of which so many were read.
#[derive(Debug)]
struct Hashing<'data> {
    bytes: &'data [u8],
    /// In `bytes`.
    hole: Range<usize>,
    /// `done <= bytes.len()`.
    done: usize,
    hasher: blake3::Hasher,
}

impl<'data> Hashing<'data> {
    fn new(bytes: &'data [u8], hole: usize) -> Option<Self> {
        let hole = hole..hole.checked_add(DIGEST_SIZE)?;
        bytes.get(hole.clone())?;
        Some(Self {
            bytes,
            hole,
            done: 0,
            hasher: blake3::Hasher::new(),
        })
    }

    fn advance(&mut self, n_bytes: usize) {
        let Range { start, end } = self.hole;
        let until = self.done.saturating_add(n_bytes).min(self.bytes.len());
        let part = |from: usize, to: usize| self.done.clamp(from, to)..until.clamp(from, to);
        let (before, hole) = (part(0, start), part(start, end));
        let after = part(end, self.bytes.len());
        self.hasher.update(&self.bytes[before]);
        self.hasher.update(&[0; DIGEST_SIZE][..hole.len()]);
        self.hasher.update(&self.bytes[after]);
        self.done = until;
    }

    fn finish(mut self) -> Digest {
        self.advance(usize::MAX);
        Digest(*self.hasher.finalize().as_bytes())
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
    fn pieces_of_any_size_give_the_same() {
        let bytes: Vec<u8> = (0..=250).cycle().take(5000).collect();
        for hole in [0, 1000, 4968] {
            let expected = Digest::of_with_hole(&bytes, hole).unwrap();
            for piece in [1, 31, 1024, 5000] {
                let mut check = DigestCheck::new(&bytes, hole, expected).unwrap();
                let mut n_pieces = 1;
                while check.advance(piece) {
                    n_pieces += 1;
                }
                assert_eq!(n_pieces, bytes.len().div_ceil(piece));
                check.finish().unwrap();
                let mut check = DigestCheck::new(&bytes[1..], hole.min(4900), expected).unwrap();
                check.advance(piece);
                let error = check.finish().unwrap_err();
                assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
            }
        }
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
