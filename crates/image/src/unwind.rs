//! The check of `.eh_frame`: that a walk over its records stays inside.
//!
//! Unwinders walk these records with no bounds of their own, at a throw, so the lengths are
//! checked here. Source: LSB Core 5.0, "DWARF Extensions", "The .eh_frame Section" and
//! "The .eh_frame_hdr section".

use std::ops::Range;

use crate::{Error, Result};

/// `DW_EH_PE_pcrel | DW_EH_PE_sdata4`: how the header points to `.eh_frame`.
const PC_RELATIVE_I32: u8 = 0x1b;

/// Checks the records that the header at `header` points to.
///
/// `bytes` are the first segment's, so that addresses are indices. Gives the addresses of the
/// records with the terminating zero word.
pub(crate) fn eh_frame(bytes: &[u8], header: Range<usize>) -> Result<Range<u64>> {
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
    let [version, pointer_encoding, ..] = word(header.start)?;
    if version != 1 || pointer_encoding != PC_RELATIVE_I32 {
        return Err(corrupt("its header has another form"));
    }
    let distance = isize::try_from(i32::from_le_bytes(word(header.start + 4)?));
    let start = (header.start + 4).checked_add_signed(distance.map_err(|_| outside())?);
    let start = start.ok_or_else(outside)?;

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
        at = end;
    }
    let address = |at| u64::try_from(at).map_err(|_| outside());
    Ok(address(start)?..address(at)?)
}
