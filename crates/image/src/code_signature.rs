//! The code signature of an image: what a signer says of it, behind the image in the same file.
//!
//! It is a *trailer*: bytes that follow the image's own, and that its digest does not cover. So an image has one digest
//! whether it is signed or not, and its signature is with it wherever its bytes go. Here is its form; whether a signature
//! holds and whose it is, is the matter of the crate `farcall-trust`. Numbers are little-endian.
//!
//! | bytes | the trailer |
//! |---|---|
//! | | for each host import: 4 bytes, the size of its name, and the name |
//! | 32 | the image's digest |
//! | 4 | its machine, by ELF's number (`e_machine`) |
//! | 4 | the number of host imports |
//! | 8 | from when on the signature holds, in seconds since 1970-01-01T00:00Z |
//! | 8 | from when on it does not, likewise; 2^64 - 1 for never |
//! | 8 | the signer's key id |
//! | 64 | the signature |
//! | 4 | the size of the trailer in bytes, all of it |
//! | 4 | the version, 1 |
//! | 8 | `7f 66 61 72 73 69 67 0a` |
//!
//! Names ascend by their bytes, and none is there twice: the same claims are the same bytes. Signed is [`MESSAGE_PREFIX`]
//! and then the trailer without its signature. The last 16 bytes stay where they are in all versions, so that an image can
//! be told from its trailer.

use std::fmt;
use std::str::FromStr;

use crate::{DIGEST_SIZE, Digest, Error, Result, Utc};

/// What every signed message starts with, so that a signature made for something else is none for an image.
pub const MESSAGE_PREFIX: &[u8; 32] = b"farcall code signature of image\0";

/// Bytes in a signature.
pub const SIGNATURE_SIZE: usize = 64;

const KEY_ID_SIZE: usize = 8;
const MAGIC: &[u8; 8] = b"\x7ffarsig\n";
const VERSION: u32 = 1;
/// Size, version and magic.
const FOOT_SIZE: usize = 16;
const SIGNED_SIZE: usize = DIGEST_SIZE + 4 + 4 + 8 + 8 + KEY_ID_SIZE;
const FIXED_SIZE: usize = SIGNED_SIZE + SIGNATURE_SIZE + FOOT_SIZE;
const WHAT: &str = "code signature";

/// The short name of a signer's key, by which it is found among those that are trusted. It is no proof of anything: the
/// signature is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KEY_ID_SIZE]);

impl KeyId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_ID_SIZE]) -> Self {
        Self(bytes)
    }

    /// The bytes, in the order in which they are printed.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_ID_SIZE] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A text that is not a key id: 16 hexadecimal digits are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: not a key id, which is {} hexadecimal digits", 2 * KEY_ID_SIZE)]
pub struct ParseKeyIdError {
    /// The text.
    pub text: String,
}

impl FromStr for KeyId {
    type Err = ParseKeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.len() == 2 * KEY_ID_SIZE && text.bytes().all(|it| it.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
        let number = number.ok_or_else(|| ParseKeyIdError {
            text: text.to_owned(),
        })?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// What a signer says of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims<'data> {
    /// The digest of the image.
    pub digest: Digest,
    /// The machine that it is for, by ELF's number.
    pub e_machine: u16,
    /// Those of its imports that may be bound to what the host has, and not only to other images. Each once, in the
    /// order of their bytes.
    pub host_imports: Vec<&'data [u8]>,
    /// From when on the signature holds.
    pub not_before: Utc,
    /// From when on it does not.
    pub expires: Utc,
    /// The signer's key.
    pub key: KeyId,
}

/// A code signature whose form has been checked. It says who has signed, and is no proof of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeSignature<'data> {
    /// What is claimed.
    pub claims: Claims<'data>,
    /// The signature, of [`CodeSignature::message`].
    pub signature: [u8; SIGNATURE_SIZE],
}

impl Claims<'_> {
    /// The trailer that says this, with the signature that `sign` makes of the message.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] for host imports that are not in order, and for more than 4 GiB of them.
    pub fn signed(&self, sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_SIZE]) -> Result<Vec<u8>> {
        check_order(&self.host_imports)?;
        let too_long = |_| corrupt("it is longer than 4 GiB");
        let length = |length: usize| u32::try_from(length).map_err(too_long);
        let mut bytes = Vec::new();
        for name in &self.host_imports {
            bytes.extend(length(name.len())?.to_le_bytes());
            bytes.extend(*name);
        }
        bytes.extend(self.digest.as_bytes());
        bytes.extend(u32::from(self.e_machine).to_le_bytes());
        bytes.extend(length(self.host_imports.len())?.to_le_bytes());
        bytes.extend(self.not_before.0.to_le_bytes());
        bytes.extend(self.expires.0.to_le_bytes());
        bytes.extend(self.key.as_bytes());
        let at = bytes.len();
        bytes.extend([0; SIGNATURE_SIZE]);
        bytes.extend(length(at + SIGNATURE_SIZE + FOOT_SIZE)?.to_le_bytes());
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(MAGIC);
        let message = CodeSignature::message(&bytes);
        bytes[at..at + SIGNATURE_SIZE].copy_from_slice(&sign(&message));
        Ok(bytes)
    }
}

impl<'data> CodeSignature<'data> {
    /// How much of a file's end [`CodeSignature::signer`] needs, in bytes.
    pub const END_SIZE: usize = FIXED_SIZE;

    /// Checks the form of a trailer: what [`crate::Image::code_signature`] gives.
    ///
    /// # Errors
    ///
    /// [`Error::CodeSignatureVersion`], and [`Error::Corrupt`] naming the first rule of the form that it breaks.
    pub fn parse(trailer: &'data [u8]) -> Result<Self> {
        let (content, found) = split(trailer)?;
        let (true, Some(trailer)) = (content.is_empty(), found) else {
            return Err(corrupt("it has another size than it says"));
        };
        let cut = || corrupt("it is too short");
        let version = number(trailer, trailer.len() - FOOT_SIZE + 4).ok_or_else(cut)?;
        if version != VERSION {
            return Err(Error::CodeSignatureVersion {
                found: version,
                known: VERSION,
            });
        }
        let fixed_at = trailer.len().checked_sub(FIXED_SIZE).ok_or_else(cut)?;
        let (mut names, mut fixed) = trailer.split_at(fixed_at);
        let digest = Digest::from_bytes(take(&mut fixed).ok_or_else(cut)?);
        let e_machine = u32::from_le_bytes(take(&mut fixed).ok_or_else(cut)?);
        let n_names = u32::from_le_bytes(take(&mut fixed).ok_or_else(cut)?);
        let not_before = Utc(u64::from_le_bytes(take(&mut fixed).ok_or_else(cut)?));
        let expires = Utc(u64::from_le_bytes(take(&mut fixed).ok_or_else(cut)?));
        let key = KeyId(take(&mut fixed).ok_or_else(cut)?);
        let signature = take(&mut fixed).ok_or_else(cut)?;
        let no_machine = |_| corrupt("its machine is none that ELF has");
        let e_machine = u16::try_from(e_machine).map_err(no_machine)?;
        let mut host_imports = Vec::new();
        for _ in 0..n_names {
            let size = u32::from_le_bytes(take(&mut names).ok_or_else(cut)?);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let (name, rest) = names.split_at_checked(size).ok_or_else(cut)?;
            host_imports.push(name);
            names = rest;
        }
        if !names.is_empty() {
            return Err(corrupt("it has more names than it says"));
        }
        check_order(&host_imports)?;
        Ok(Self {
            claims: Claims {
                digest,
                e_machine,
                host_imports,
                not_before,
                expires,
                key,
            },
            signature,
        })
    }

    /// What is signed of a trailer of this form.
    #[must_use]
    pub fn message(trailer: &[u8]) -> Vec<u8> {
        let foot = trailer.len().saturating_sub(FOOT_SIZE);
        let signature = foot.saturating_sub(SIGNATURE_SIZE);
        let parts = [MESSAGE_PREFIX, &trailer[..signature], &trailer[foot..]];
        parts.concat()
    }

    /// The key that a file says it is signed with, by its last [`CodeSignature::END_SIZE`] bytes, or all if it is
    /// shorter; `None` when there is no signature of this version.
    #[must_use]
    pub fn signer(end: &[u8]) -> Option<KeyId> {
        let foot = end.len().checked_sub(FOOT_SIZE)?;
        let is_known = end.ends_with(MAGIC) && number(end, foot + 4) == Some(VERSION);
        let at = foot.checked_sub(SIGNATURE_SIZE + KEY_ID_SIZE)?;
        let id = end[at..].first_chunk().filter(|_| is_known);
        id.copied().map(KeyId)
    }

    /// The bytes of an image without the trailer that it may have, which is not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] for a trailer that says it is longer than the file.
    pub fn content(bytes: &[u8]) -> Result<&[u8]> {
        split(bytes).map(|(content, _)| content)
    }
}

/// A file's content, and the trailer behind it.
pub(crate) fn split(bytes: &[u8]) -> Result<(&[u8], Option<&[u8]>)> {
    if !bytes.ends_with(MAGIC) {
        return Ok((bytes, None));
    }
    let size = bytes.len().checked_sub(FOOT_SIZE);
    let size = size.and_then(|foot| usize::try_from(number(bytes, foot)?).ok());
    let start = size
        .filter(|&size| size >= FOOT_SIZE)
        .and_then(|size| bytes.len().checked_sub(size));
    let start = start.ok_or(corrupt("it is longer than the file"))?;
    let (content, trailer) = bytes.split_at(start);
    Ok((content, Some(trailer)))
}

fn check_order(names: &[&[u8]]) -> Result<()> {
    match names.is_sorted_by(|one, next| one < next) {
        true => Ok(()),
        false => Err(corrupt("its names are not in order")),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn corrupt(reason: &'static str) -> Error {
    Error::Corrupt { what: WHAT, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims<'static> {
        Claims {
            digest: Digest::from_bytes([3; DIGEST_SIZE]),
            e_machine: 62,
            host_imports: vec![b"free", b"malloc"],
            not_before: Utc(5),
            expires: Utc::NEVER,
            key: KeyId([1, 2, 3, 4, 5, 6, 7, 8]),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut message = Vec::new();
        let trailer = claims().signed(|signed| {
            message = signed.to_vec();
            [9; SIGNATURE_SIZE]
        });
        let trailer = trailer.unwrap();
        let read = CodeSignature::parse(&trailer).unwrap();
        assert_eq!((read.claims, read.signature), (claims(), [9; 64]));
        assert_eq!(CodeSignature::message(&trailer), message);
        assert!(message.starts_with(MESSAGE_PREFIX));
        let file = [b"content", &trailer[..]].concat();
        assert_eq!(split(&file).unwrap(), (&b"content"[..], Some(&trailer[..])));
        assert_eq!(CodeSignature::signer(&file), Some(claims().key));
        assert_eq!(split(b"content").unwrap(), (&b"content"[..], None));
        assert_eq!(CodeSignature::signer(b"content"), None);
    }

    /// The example of `docs/signing.md`.
    #[test]
    fn the_bytes_are_those_that_are_documented() {
        let trailer = claims().signed(|_| [0xaa; SIGNATURE_SIZE]).unwrap();
        let hex: String = trailer.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "0400000066726565060000006d616c6c6f63",
            &"03".repeat(32),
            "3e00000002000000",
            "0500000000000000ffffffffffffffff",
            "0102030405060708",
            &"aa".repeat(64),
            "a2000000010000007f6661727369670a",
        ];
        assert_eq!(hex, expected.concat());
    }

    #[test]
    fn other_bytes_are_errors() {
        let trailer = claims().signed(|_| [9; SIGNATURE_SIZE]).unwrap();
        for end in 0..trailer.len() {
            assert!(CodeSignature::parse(&trailer[..end]).is_err(), "{end}");
            assert!(CodeSignature::parse(&trailer[end..]).is_err() || end == 0);
        }
        let changed = |at: usize, byte: u8| {
            let mut changed = trailer.clone();
            let at = trailer.len() - at;
            changed[at] = byte;
            CodeSignature::parse(&changed).map(|_| ())
        };
        let version = Error::CodeSignatureVersion { found: 2, known: 1 };
        assert_eq!(changed(12, 2), Err(version));
        assert_eq!(
            changed(13, 0xff),
            Err(corrupt("it is longer than the file"))
        );
        assert_eq!(changed(FIXED_SIZE - 36, 3), Err(corrupt("it is too short")));
        let more = corrupt("it has more names than it says");
        assert_eq!(changed(FIXED_SIZE - 36, 1), Err(more));
        let order = Err(corrupt("its names are not in order"));
        assert_eq!(changed(FIXED_SIZE + 6, b'a'), order);
        let unsorted = Claims {
            host_imports: vec![b"b", b"a"],
            ..claims()
        };
        assert!(unsorted.signed(|_| [0; SIGNATURE_SIZE]).is_err());
    }

    #[test]
    fn ids_are_text() {
        let id = claims().key;
        assert_eq!(id.to_string(), "0102030405060708");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            "",
            "+102030405060708",
            "010203040506070",
            "01020304050607089",
        ] {
            assert!(wrong.parse::<KeyId>().is_err(), "{wrong}");
        }
    }
}
