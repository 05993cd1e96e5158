//! What a relocation means: *expression* × *field* × *range*.
//!
//! An [`Expression`] says which value is wanted, in the letters of the ABI documents; a [`Field`]
//! says where its bits go; a [`Range`] says which values fit. The linker evaluates and writes with
//! no other knowledge of a relocation type, and decides from the expression alone whether a
//! symbol needs a GOT entry or a PLT entry.

/// One relocation type of one machine: a row of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloc {
    /// The ABI's name, such as `R_X86_64_PC32`.
    pub name: &'static str,
    /// The value to compute.
    pub expression: Expression,
    /// Where the value's bits go.
    pub field: Field,
    /// Which values fit.
    pub range: Range,
}

/// The value that a relocation asks for, in ABI letters.
///
/// `S` symbol value, `A` addend, `P` place, `L` PLT entry of the symbol, `G` offset of the symbol's
/// GOT entry from `GOT`, `GOT` address of the global offset table, `B` load bias, `Z` symbol size,
/// `TLS` start of the image's TLS segment. All are 64-bit wrapping arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expression {
    /// Nothing is computed or written.
    None,
    /// `S + A`.
    Absolute,
    /// `S + A - P`.
    PcRelative,
    /// `L + A - P`; the symbol's own value when it needs no PLT entry.
    PltPcRelative,
    /// `L + A - GOT`.
    PltGotRelative,
    /// `G + GOT + A - P`.
    GotEntryPcRelative,
    /// `G + GOT + A - P`, at an instruction that the psABI allows to be relaxed.
    GotEntryPcRelativeRelaxable,
    /// `G + A`.
    GotEntryOffset,
    /// `S + A - GOT`.
    GotRelative,
    /// `GOT + A - P`.
    GotBasePcRelative,
    /// `Z + A`.
    Size,
    /// Place-relative address of the GOT pair (module, offset) of a thread-local symbol.
    TlsGeneralDynamic,
    /// Place-relative address of the GOT pair (module, 0) of this image.
    TlsLocalDynamic,
    /// `S + A - TLS`: offset in the image's own TLS block.
    TlsBlockOffset,
    /// Place-relative address of the GOT entry that holds the offset from the thread pointer.
    TlsInitialExec,
    /// Offset from the thread pointer.
    TlsLocalExec,
    /// Place-relative address of the GOT pair of a TLS descriptor.
    TlsDescriptor,
    /// Marks the call through a TLS descriptor; nothing is written.
    TlsDescriptorCall,
    /// Dynamic: `B + A`.
    Relative,
    /// Dynamic: `S`, into a GOT entry.
    GlobDat,
    /// Dynamic: `S`, into a GOT entry that only calls use.
    JumpSlot,
    /// Dynamic: the module's identity, as `__tls_get_addr` knows it.
    TlsModule,
    /// Dynamic: the result of calling the function at `B + A`.
    IndirectRelative,
    /// Dynamic: bytes copied out of another image; never produced, never accepted.
    Copy,
}

impl Expression {
    /// Whether only a dynamic linker evaluates it, so that it cannot stand in an object.
    #[must_use]
    pub const fn is_dynamic_only(self) -> bool {
        matches!(
            self,
            Self::Relative
                | Self::GlobDat
                | Self::JumpSlot
                | Self::TlsModule
                | Self::IndirectRelative
                | Self::Copy
        )
    }
}

/// Where the bits of a value go in the bytes at the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// No bytes.
    None,
    /// One byte.
    Byte,
    /// Two bytes, little-endian.
    Half,
    /// Four bytes, little-endian.
    Word,
    /// Eight bytes, little-endian.
    Xword,
}

impl Field {
    /// The number of bytes at the place that belong to the field.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::None => 0,
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
            Self::Xword => 8,
        }
    }

    /// Writes `value`'s low bits into `place`, which starts at the relocation's place.
    ///
    /// # Panics
    ///
    /// If `place` is shorter than [`Field::size`]; callers cut it to that size when they check the
    /// relocation's offset.
    pub fn write(self, place: &mut [u8], value: u64) {
        let size = self.size();
        place[..size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    /// Reads the addend stored at the place, sign-extended: what a `SHT_REL` relocation adds.
    ///
    /// # Panics
    ///
    /// As [`Field::write`].
    #[must_use]
    pub fn read(self, place: &[u8]) -> i64 {
        let size = self.size();
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(&place[..size]);
        let value = i64::from_le_bytes(bytes);
        let unused = 64 - 8 * u32::try_from(size).expect("a field has at most 8 bytes");
        if unused == 64 {
            0
        } else {
            (value << unused) >> unused
        }
    }
}

/// Which values a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Every value: the field is as wide as an address, or the name says that nothing is checked.
    Any,
    /// `-2^(n-1) <= value < 2^(n-1)`.
    Signed(u32),
    /// `0 <= value < 2^n`.
    Unsigned(u32),
    /// `-2^(n-1) <= value < 2^n`: the ABI does not say how the field is read.
    Either(u32),
}

/// A value that does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange {
    /// The value, read as signed.
    pub value: i64,
    /// What would fit.
    pub range: Range,
}

impl Range {
    /// Checks `value`, read as a signed number, against the range.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] when it does not fit.
    pub const fn check(self, value: u64) -> Result<(), OutOfRange> {
        let value = value.cast_signed();
        let fits = match self {
            Self::Any => true,
            Self::Signed(bits) => value >= -(1_i64 << (bits - 1)) && value < 1_i64 << (bits - 1),
            Self::Unsigned(bits) => value >= 0 && value < 1_i64 << bits,
            Self::Either(bits) => value >= -(1_i64 << (bits - 1)) && value < 1_i64 << bits,
        };
        if fits {
            Ok(())
        } else {
            Err(OutOfRange { value, range: self })
        }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => write!(f, "any 64-bit value"),
            Self::Signed(bits) => write!(f, "[-2^{0}, 2^{0})", bits - 1),
            Self::Unsigned(bits) => write!(f, "[0, 2^{bits})"),
            Self::Either(bits) => write!(f, "[-2^{}, 2^{})", bits - 1, bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_edges_and_refuse_one_past_each() {
        let edges: [(Range, i64, i64); 6] = [
            (Range::Signed(8), -128, 127),
            (Range::Signed(16), -0x8000, 0x7fff),
            (Range::Signed(32), -0x8000_0000, 0x7fff_ffff),
            (Range::Unsigned(32), 0, 0xffff_ffff),
            (Range::Either(8), -128, 255),
            (Range::Either(16), -0x8000, 0xffff),
        ];
        for (range, low, high) in edges {
            assert!(range.check(low.cast_unsigned()).is_ok(), "{range}: {low}");
            assert!(range.check(high.cast_unsigned()).is_ok(), "{range}: {high}");
            assert!(
                range.check((low - 1).cast_unsigned()).is_err(),
                "{range}: {low} - 1"
            );
            assert!(
                range.check((high + 1).cast_unsigned()).is_err(),
                "{range}: {high} + 1"
            );
        }
        assert!(Range::Any.check(u64::MAX).is_ok());
    }

    #[test]
    fn a_field_writes_its_own_bytes_and_reads_them_back_with_their_sign() {
        for (field, value) in [
            (Field::Byte, -2_i64),
            (Field::Half, -300),
            (Field::Word, -70_000),
            (Field::Xword, i64::MIN + 1),
        ] {
            let mut place = [0xaa; 9];
            field.write(&mut place, value.cast_unsigned());
            assert_eq!(field.read(&place), value);
            assert!(place[field.size()..].iter().all(|&byte| byte == 0xaa));
        }
        assert_eq!(Field::None.read(&[]), 0);
    }
}
