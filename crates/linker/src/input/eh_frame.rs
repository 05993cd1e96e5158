//! The records of an `.eh_frame` section.
//!
//! Source: LSB Core 5.0, "The .eh_frame section".

use std::ops::Range;

/// A CIE or an FDE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The bytes in the section, with the length field.
    pub(crate) range: Range<usize>,
    pub(crate) kind: RecordKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Cie,
    /// With the offset of its CIE in the section.
    Fde {
        cie: usize,
    },
}

/// The offset of an FDE's `PC Begin` from the FDE's start.
pub(crate) const PC_BEGIN: usize = 8;

/// The records up to the end or the terminator; `Err` holds where and what is malformed.
pub(crate) fn records(data: &[u8]) -> Result<Vec<Record>, (usize, &'static str)> {
    let word = |at: usize| -> Option<u32> {
        let word = data.get(at..at.checked_add(4)?)?.first_chunk()?;
        Some(u32::from_le_bytes(*word))
    };
    // Compilers make no shorter records for functions.
    const USUAL: usize = 24;
    let mut records = Vec::with_capacity(data.len() / USUAL + 1);
    let mut at = 0;
    while at < data.len() {
        let length = word(at).ok_or((at, "truncated length"))?;
        match length {
            0 => break,
            1..8 => return Err((at, "too short")),
            0xffff_ffff => return Err((at, "64-bit records are not supported")),
            _ => {}
        }
        let length = usize::try_from(length).map_err(|_| (at, "too long"))?;
        let end = (at + 4)
            .checked_add(length)
            .filter(|&end| end <= data.len());
        let end = end.ok_or((at, "it ends outside its section"))?;
        let back = word(at + 4).ok_or((at, "truncated"))?;
        let kind = if back == 0 {
            RecordKind::Cie
        } else {
            let cie = usize::try_from(back)
                .ok()
                .and_then(|back| (at + 4).checked_sub(back));
            RecordKind::Fde {
                cie: cie.ok_or((at, "its CIE lies before the section"))?,
            }
        };
        records.push(Record {
            range: at..end,
            kind,
        });
        at = end;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_at_the_terminator_and_name_their_cie() {
        let mut data = Vec::new();
        for words in [&[8_u32, 0, 0][..], &[12, 16, 0, 0][..], &[0, 77][..]] {
            words
                .iter()
                .for_each(|word| data.extend(word.to_le_bytes()));
        }
        let cie = Record {
            range: 0..12,
            kind: RecordKind::Cie,
        };
        let fde = Record {
            range: 12..28,
            kind: RecordKind::Fde { cie: 0 },
        };
        assert_eq!(records(&data), Ok(vec![cie, fde]));
        assert!(records(&data[..20]).is_err());
        assert!(records(&[1, 0, 0, 0, 0]).is_err());
    }
}
