//! The check of `.eh_frame`: that a walk over its records stays inside, and that the table of its
//! header names records.
//!
//! Unwinders walk these records with no bounds of their own, at a throw, so the lengths are
//! checked here. Source: LSB Core 5.0, "DWARF Extensions", "The .eh_frame Section" and
//! "The .eh_frame_hdr section".

use std::ops::Range;

use crate::{Error, Result};

/// Version 1; `DW_EH_PE_pcrel | DW_EH_PE_sdata4`: how the header points to `.eh_frame`;
/// `DW_EH_PE_udata4`: how many entries its table has; `DW_EH_PE_datarel | DW_EH_PE_sdata4`: what
/// they are.
const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];

/// The header's bytes before its table.
const HEADER_SIZE: usize = 12;
const ENTRY_SIZE: usize = 8;

/// What an image has for unwinding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnwindTable {
    /// The addresses of the records, with the terminating zero word.
    pub(crate) records: Range<u64>,
    /// The entries of the header's table: a byte range of the first segment, in whole entries.
    pub(crate) entries: Range<usize>,
}

/// The pairs (function, its FDE) of a checked table: its `entries`, and where they are.
pub(crate) fn functions(
    entries: &[u8],
    range: Range<usize>,
) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
    let header = header_start(&range);
    entries.chunks_exact(ENTRY_SIZE).map(move |entry| {
        let address = |bytes: &[u8]| {
            let distance = bytes.first_chunk().copied().unwrap_or_default();
            header.wrapping_add_signed(i32::from_le_bytes(distance).into())
        };
        (address(&entry[..4]), address(&entry[4..]))
    })
}

/// Where the header of a checked table with these entries starts.
pub(crate) fn header_start(entries: &Range<usize>) -> u64 {
    entries.start.saturating_sub(HEADER_SIZE) as u64
}

/// Checks the records that the header at `header` points to, and the header's table.
///
/// `bytes` are the first segment's, so that addresses are indices.
pub(crate) fn unwind_table(bytes: &[u8], header: Range<usize>) -> Result<UnwindTable> {
    let corrupt = |reason| Error::Corrupt {
        what: "unwind table",
        reason,
    };
    let outside = || corrupt("it leaves the first segment");
    let word = |at: usize| -> Result<[u8; 4]> {
        let word = at.checked_add(4).and_then(|end| bytes.get(at..end));
        word.and_then(|word| word.first_chunk().copied())
            .ok_or_else(outside)
    };
    if word(header.start)? != FORM {
        return Err(corrupt("its header has another form"));
    }
    let distance = isize::try_from(i32::from_le_bytes(word(header.start + 4)?));
    let start = (header.start + 4).checked_add_signed(distance.map_err(|_| outside())?);
    let start = start.ok_or_else(outside)?;

    let (fdes, size) = walk(bytes.get(start..).ok_or_else(outside)?).map_err(corrupt)?;
    let records_end = start + size;

    let count = usize::try_from(u32::from_le_bytes(word(header.start + 8)?));
    let entries_start = header.start + HEADER_SIZE;
    let entries_end = count
        .ok()
        .and_then(|count| entries_start.checked_add(count.checked_mul(ENTRY_SIZE)?))
        .filter(|&end| end <= header.end)
        .ok_or(corrupt("its header's table leaves the header"))?;
    let entries = entries_start..entries_end;
    let mut last = 0;
    for (function, fde) in functions(&bytes[entries.clone()], entries.clone()) {
        if function < last {
            return Err(corrupt("its header's table is not sorted"));
        }
        let fde = fde.wrapping_sub(start as u64);
        if !usize::try_from(fde).is_ok_and(|fde| fdes.contains(fde)) {
            return Err(corrupt("its header's table names what is no FDE"));
        }
        last = function;
    }
    let address = |at| u64::try_from(at).map_err(|_| outside());
    Ok(UnwindTable {
        records: address(start)?..address(records_end)?,
        entries,
    })
}

/// Walks over records to the zero word that ends them, and gives where FDEs are and where the end is: byte
/// offsets from the first record.
///
/// The next record is where this one's length says, so that time goes by what is between two lengths.
#[inline(never)]
fn walk(records: &[u8]) -> Result<(Starts, usize), &'static str> {
    const OUTSIDE: &str = "it leaves the first segment";
    let mut fdes = Starts::new(records.len());
    // Where CIEs start, and the fewest bytes of their FDEs.
    let mut cies: Vec<(usize, usize)> = Vec::new();
    // An FDE mostly has the CIE of the one before.
    let mut cie = (usize::MAX, 0);
    let mut rest = records;
    loop {
        let (length, body) = rest.split_first_chunk().ok_or(OUTSIDE)?;
        let length = u32::from_le_bytes(*length);
        let at = records.len() - rest.len();
        if length == 0 {
            return Ok((fdes, at + 4));
        }
        let length = usize::try_from(length).map_err(|_| OUTSIDE)?;
        let (record, next) = body.split_at_checked(length).ok_or(OUTSIDE)?;
        // Zero for a CIE; for an FDE the distance back to its CIE.
        let back = record.first_chunk().filter(|_| length < 0xffff_fff0);
        let back = u32::from_le_bytes(*back.ok_or(OUTSIDE)?);
        if back == 0 {
            let size = function_distance_size(&rest[..4 + length]);
            let size = size.ok_or("a CIE is not as unwinders read it")?;
            cie = (at, shortest_fde(size));
            cies.push(cie);
        } else {
            let back = usize::try_from(back).map_err(|_| OUTSIDE)?;
            let start = (at + 4).checked_sub(back).ok_or("an FDE has no CIE")?;
            if cie.0 != start {
                let found = cies.binary_search_by_key(&start, |&(at, _)| at);
                cie = cies[found.map_err(|_| "an FDE has no CIE")?];
            }
            if 4 + length < cie.1 {
                return Err("an FDE is too short");
            }
            fdes.insert(at);
        }
        rest = next;
    }
}

/// What is looked at of a CIE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CieForm {
    /// The size in bytes of the distances by which its FDEs name their functions: 4 or 8.
    pub function_distance_size: usize,
    /// Where in it is the pointer to the personality function, if it has one: all that a relocation may
    /// write.
    pub personality: Option<Range<usize>>,
}

/// The size that [`CieForm`] says, for a CIE of the form that unwinders read.
#[must_use]
pub fn function_distance_size(cie: &[u8]) -> Option<usize> {
    Some(cie_form(cie)?.function_distance_size)
}

/// The form of a CIE.
///
/// `cie` is the whole record, with its length. `None` when it does not have the form that unwinders
/// read: one that they do not know ends the process, and not only when something is thrown through
/// code that it describes.
#[must_use]
pub fn cie_form(cie: &[u8]) -> Option<CieForm> {
    let mut rest = cie.get(8..)?;
    let version = take(&mut rest)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    let (augmentation, after) = (&rest[..end], &rest[end + 1..]);
    rest = after;
    // Without this letter functions are named by address, which nothing relocates here.
    let (b'z', letters) = augmentation.split_first()? else {
        return None;
    };
    // The factors of code and data.
    leb128(&mut rest)?;
    leb128(&mut rest)?;
    // The register with the return address.
    match version {
        1 => usize::from(take(&mut rest)?),
        3 => leb128(&mut rest)?,
        _ => return None,
    };
    let length = leb128(&mut rest)?;
    let mut data = rest.get(..length)?;
    let mut size = None;
    let mut personality = None;
    for letter in letters {
        match letter {
            b'R' => {
                size = match take(&mut data)? {
                    PCREL_SDATA4 => Some(4),
                    PCREL_SDATA8 | PCREL => Some(8),
                    _ => return None,
                }
            }
            b'P' => {
                let pointer = pointer_size(take(&mut data)?)?;
                // What follows it in the CIE: the rest of the data, and what is behind that.
                let start = cie.len() - (data.len() + rest.len() - length);
                personality = Some(start..start + pointer);
                data = data.get(pointer..)?;
            }
            b'L' => {
                let encoding = take(&mut data)?;
                if encoding != OMITTED {
                    pointer_size(encoding)?;
                }
            }
            // A signal's frame, signed return addresses, tagged stacks. Not before what says how
            // functions are named, because unwinders stop looking for that here.
            b'S' | b'B' | b'G' if size.is_some() => {}
            _ => return None,
        }
    }
    Some(CieForm {
        function_distance_size: size?,
        personality,
    })
}

/// The fewest bytes of an FDE, with its length, that names its function by distances of this size: the
/// function, its length, and that of the rest.
#[must_use]
pub const fn shortest_fde(function_distance_size: usize) -> usize {
    8 + 2 * function_distance_size + 1
}

/// `DW_EH_PE_pcrel`, alone and with `DW_EH_PE_sdata4` and `DW_EH_PE_sdata8`.
const PCREL: u8 = 0x10;
const PCREL_SDATA4: u8 = 0x1b;
const PCREL_SDATA8: u8 = 0x1c;
/// `DW_EH_PE_omit`.
const OMITTED: u8 = 0xff;

/// The bytes of a pointer of this encoding, which is an address or a distance from itself, of what is
/// meant or of a word that has its address.
fn pointer_size(encoding: u8) -> Option<usize> {
    match (encoding & 0x70, encoding & 0x0f) {
        (0 | 0x10, 0 | 4 | 0xc) => Some(8),
        (0 | 0x10, 3 | 0xb) => Some(4),
        (0 | 0x10, 2 | 0xa) => Some(2),
        _ => None,
    }
}

fn take(bytes: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(byte)
}

/// The number that bytes start with, seven bits in each; its sign is left out.
fn leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..=56).step_by(7) {
        let byte = take(bytes)?;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Where FDEs start: a bit for each byte, because a table of them is searched once for each.
struct Starts(Vec<u64>);

impl Starts {
    fn new(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    fn insert(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn contains(&self, at: usize) -> bool {
        let bits = self.0.get(at / 64);
        bits.is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cie(version: u8, augmentation: &[u8], data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).unwrap();
        [
            &[0; 8],
            &[version][..],
            augmentation,
            &[0, 1, 0x78, 16, length],
            data,
        ]
        .concat()
    }

    #[test]
    fn forms_that_compilers_write_are_known() {
        for (augmentation, data, size) in [
            (&b"zR"[..], &[0x1b][..], 4),
            (b"zR", &[0x1c], 8),
            (b"zRS", &[0x1b], 4),
            (b"zRB", &[0x1b], 4),
            (b"zPLR", &[0x9b, 1, 2, 3, 4, 0x1b, 0x1b], 4),
            (b"zPLR", &[0x9c, 1, 2, 3, 4, 5, 6, 7, 8, 0x1c, 0x1c], 8),
            (b"zPR", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b], 4),
        ] {
            let cie = cie(1, augmentation, data);
            assert_eq!(function_distance_size(&cie), Some(size), "{cie:x?}");
            let mut newer = cie.clone();
            newer[8] = 3;
            assert_eq!(function_distance_size(&newer), Some(size), "{newer:x?}");
            for length in 0..cie.len() {
                assert_eq!(function_distance_size(&cie[..length]), None);
            }
        }
    }

    #[test]
    fn forms_that_end_a_process_are_refused() {
        for (version, augmentation, data) in [
            (1, &b""[..], &[][..]),
            (1, b"eh", &[0x1b]),
            (1, b"z", &[]),
            (1, b"zX", &[0x1b]),
            (1, b"zSR", &[0x1b]),
            (1, b"zR", &[0x2b]),
            (1, b"zR", &[0x1d]),
            (1, b"zR", &[0xff]),
            (1, b"zPR", &[0x57, 0, 0, 0, 0, 0x1b]),
            (1, b"zLR", &[0x5b, 0x1b]),
            (0, b"zR", &[0x1b]),
            (4, b"zR", &[0x1b]),
        ] {
            let cie = cie(version, augmentation, data);
            assert_eq!(function_distance_size(&cie), None, "{cie:x?}");
        }
    }
}
