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
    let header = range.start.saturating_sub(HEADER_SIZE) as u64;
    entries.chunks_exact(ENTRY_SIZE).map(move |entry| {
        let address = |bytes: &[u8]| {
            let distance = bytes.first_chunk().copied().unwrap_or_default();
            header.wrapping_add_signed(i32::from_le_bytes(distance).into())
        };
        (address(&entry[..4]), address(&entry[4..]))
    })
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

    let mut fdes = Starts::new(start);
    let mut at = start;
    loop {
        let length = u32::from_le_bytes(word(at)?);
        at += 4;
        if length == 0 {
            break;
        }
        let body = usize::try_from(length)
            .ok()
            .filter(|&length| (4..0xffff_fff0).contains(&length));
        let end = body
            .and_then(|length| at.checked_add(length))
            .ok_or_else(outside)?;
        // Zero for a CIE; for an FDE the distance back to its CIE.
        let back = usize::try_from(u32::from_le_bytes(word(at)?)).map_err(|_| outside())?;
        if back != 0 && at.checked_sub(back).is_none_or(|cie| cie < start) {
            return Err(corrupt("an FDE has no CIE"));
        }
        if back != 0 {
            fdes.insert(at - 4);
        }
        at = end;
    }

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
        if !usize::try_from(fde).is_ok_and(|fde| fdes.contains(fde)) {
            return Err(corrupt("its header's table names what is no FDE"));
        }
        last = function;
    }
    let address = |at| u64::try_from(at).map_err(|_| outside());
    Ok(UnwindTable {
        records: address(start)?..address(at)?,
        entries,
    })
}

/// Where FDEs start: a bit for each byte that the shortest records allow, because a table of all of
/// them is searched once for each.
struct Starts {
    from: usize,
    bits: Vec<u64>,
}

impl Starts {
    fn new(from: usize) -> Self {
        Self {
            from,
            bits: Vec::new(),
        }
    }

    fn insert(&mut self, at: usize) {
        let distance = at - self.from;
        let index = distance / 64;
        if self.bits.len() <= index {
            self.bits.resize(index + 1, 0);
        }
        self.bits[index] |= 1 << (distance % 64);
    }

    fn contains(&self, at: usize) -> bool {
        let distance = at.checked_sub(self.from);
        let bit = |distance: usize| {
            let bits = self.bits.get(distance / 64)?;
            Some(bits >> (distance % 64) & 1 == 1)
        };
        distance.and_then(bit) == Some(true)
    }
}
