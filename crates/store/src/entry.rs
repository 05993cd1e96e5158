//! The form of an entry: its bytes, then a label for people, then what checks both.
//!
//! ```text
//! bytes ‖ label ‖ key (32) ‖ size of bytes (u64) ‖ size of label (u32) ‖ MAGIC (16) ‖ digest of all before it (32)
//! ```
//!
//! Numbers are little-endian. The bytes come first so that a hit is one read into the buffer that is handed out, cut off behind
//! them, and so that `readelf` works on the file. Entries are read and never mapped: who has a map of a file sees what others
//! write to it later, or dies when they truncate it, and what was checked must not change.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;

use crate::Key;

const MAGIC: &[u8; 16] = b"farcall entry 1\n";
const DIGEST: usize = 32;
/// What follows the label, without the digest.
const TAIL: usize = Key::SIZE + 8 + 4 + MAGIC.len();
/// Longer ones are cut: no label is worth much disk.
const LONGEST_LABEL: usize = 4096;

/// What comes after an entry's bytes.
pub(crate) struct Trailer(Vec<u8>);

impl Trailer {
    pub(crate) fn new(key: &Key, label: &str, bytes: &[u8]) -> Self {
        let label = &label.as_bytes()[..label.floor_char_boundary(LONGEST_LABEL)];
        let mut trailer = label.to_vec();
        trailer.extend(key.as_bytes());
        trailer.extend((bytes.len() as u64).to_le_bytes());
        // At most LONGEST_LABEL.
        trailer.extend(u32::try_from(label.len()).unwrap_or_default().to_le_bytes());
        trailer.extend(MAGIC);
        let digest = digest(&[bytes, &trailer]);
        trailer.extend(digest);
        Self(trailer)
    }

    /// Bytes of the whole entry.
    pub(crate) fn entry_size(&self, bytes: &[u8]) -> u64 {
        bytes.len() as u64 + self.0.len() as u64
    }

    pub(crate) fn write(&self, bytes: &[u8], mut file: &File) -> io::Result<()> {
        file.write_all(bytes)?;
        file.write_all(&self.0)
    }
}

/// Reads an entry of `size` bytes. `None` when it is not the whole and undamaged entry of this key.
pub(crate) fn read(key: &Key, mut file: &File, size: u64) -> Option<Vec<u8>> {
    let mut entry = Vec::new();
    // A size that no memory has is a damaged file system's.
    entry
        .try_reserve_exact(usize::try_from(size).ok()?.checked_add(1)?)
        .ok()?;
    file.read_to_end(&mut entry).ok()?;
    let bytes_size = check(key, &entry)?;
    entry.truncate(bytes_size);
    Some(entry)
}

fn check(key: &Key, entry: &[u8]) -> Option<usize> {
    let (content, found) = entry.split_last_chunk::<DIGEST>()?;
    let (_, tail) = content.split_last_chunk::<TAIL>()?;
    let (bytes_size, label_size) = sizes(tail, content.len() as u64)?;
    let is_keys = tail.starts_with(key.as_bytes());
    let is_whole = bytes_size + label_size + TAIL as u64 == content.len() as u64;
    (is_keys && is_whole && digest(&[content]) == *found)
        .then(|| usize::try_from(bytes_size).ok())?
}

/// The label of an entry of `size` bytes, for people: not checked but for its form.
pub(crate) fn label(file: &File, size: u64) -> Option<String> {
    let content = size.checked_sub(DIGEST as u64)?;
    let mut tail = [0; TAIL];
    file.read_exact_at(&mut tail, content.checked_sub(TAIL as u64)?)
        .ok()?;
    let (bytes_size, label_size) = sizes(&tail, content)?;
    let mut label = vec![0; usize::try_from(label_size).ok()?];
    file.read_exact_at(&mut label, bytes_size).ok()?;
    Some(String::from_utf8_lossy(&label).into_owned())
}

/// The sizes of bytes and label, where they are not larger than what holds them.
fn sizes(tail: &[u8; TAIL], content: u64) -> Option<(u64, u64)> {
    let (_, rest) = tail.split_at(Key::SIZE);
    let (bytes_size, rest) = rest.split_first_chunk()?;
    let (label_size, magic) = rest.split_first_chunk()?;
    let bytes_size = u64::from_le_bytes(*bytes_size);
    let label_size = u64::from(u32::from_le_bytes(*label_size));
    let is_sane = magic == MAGIC && bytes_size <= content && label_size <= LONGEST_LABEL as u64;
    is_sane.then_some((bytes_size, label_size))
}

fn digest(parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut hasher = blake3::Hasher::new_derive_key("farcall-store 1: entry");
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyBuilder;

    fn entry(key: &Key, label: &str, bytes: &[u8]) -> Vec<u8> {
        [bytes, &Trailer::new(key, label, bytes).0].concat()
    }

    #[test]
    fn any_byte_changed_or_missing_is_no_entry() {
        let key = KeyBuilder::new("test").finish();
        let good = entry(&key, "label", b"content");
        assert_eq!(check(&key, &good), Some(7));
        for position in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[position] ^= 1 << bit;
                assert_eq!(check(&key, &bad), None, "bit {bit} of byte {position}");
            }
            assert_eq!(check(&key, &good[..position]), None, "cut at {position}");
            assert_eq!(check(&key, &good[position + 1..]), None);
        }
        assert_eq!(check(&key, &[&good[..], &[0]].concat()), None);
    }

    #[test]
    fn an_entry_is_of_its_key() {
        let one = KeyBuilder::new("one").finish();
        let other = KeyBuilder::new("other").finish();
        assert_eq!(check(&other, &entry(&one, "", b"content")), None);
    }

    #[test]
    fn nothing_and_long_labels_are_kept_too() {
        let key = KeyBuilder::new("test").finish();
        assert_eq!(check(&key, &entry(&key, "", b"")), Some(0));
        let long = "é".repeat(LONGEST_LABEL);
        assert_eq!(check(&key, &entry(&key, &long, b"1")), Some(1));
    }
}
