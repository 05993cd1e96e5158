//! What a relocation means: *expression* × *base* × *field* × *range*.
//!
//! An [`Expression`] says which value is wanted, in the letters of the ABI documents; a [`Base`] what
//! it counts from; a [`Field`] where its bits go; a [`Range`] which values fit. The linker evaluates
//! and writes with no other knowledge of a relocation type, and decides from the expression alone
//! whether a symbol needs a GOT entry or a PLT entry.

/// One relocation type of one machine: a row of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloc {
    /// The ABI's name, such as `R_X86_64_PC32`.
    pub name: &'static str,
    /// The value to compute.
    pub expression: Expression,
    /// What is subtracted from it.
    pub base: Base,
    /// Where the result's bits go.
    pub field: Field,
    /// Which results fit.
    pub range: Range,
    /// Whether the code at the place may be rewritten to do without the GOT.
    pub relaxation: Relaxation,
}

/// The value that a relocation asks for, in ABI letters.
///
/// `S` symbol value, `A` addend, `L` PLT entry of the symbol, `G` address of the symbol's GOT entry,
/// `GOT` address of the global offset table, `B` load bias, `Z` symbol size, `TLS` start of the image's
/// TLS segment. All are 64-bit wrapping arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expression {
    /// Nothing is computed or written.
    None,
    /// `S + A`.
    Symbol,
    /// `L + A`; the symbol's own value when it needs no PLT entry.
    Plt,
    /// `G + A`.
    GotEntry,
    /// `GOT + A`.
    GotBase,
    /// `Z + A`.
    Size,
    /// The address of the GOT pair (module, offset) of a thread-local symbol, plus `A`.
    TlsPair,
    /// The address of the GOT pair (module, 0) of this image, plus `A`.
    TlsModulePair,
    /// `S + A - TLS`: offset in the image's own TLS block.
    TlsBlockOffset,
    /// The address of the GOT entry that holds the offset from the thread pointer, plus `A`.
    TlsOffsetEntry,
    /// Offset from the thread pointer, plus `A`.
    TlsOffset,
    /// The address of the GOT pair of a TLS descriptor, plus `A`.
    TlsDescriptor,
    /// Marks code that goes through a TLS descriptor; nothing is written.
    TlsDescriptorMark,
    /// Dynamic: `B + A`.
    Relative,
    /// Dynamic: `S`, into a GOT entry.
    GlobDat,
    /// Dynamic: `S`, into a GOT entry that only calls use.
    JumpSlot,
    /// Dynamic: the module's identity, as `__tls_get_addr` knows it.
    TlsModule,
    /// Dynamic: the two words of a TLS descriptor.
    TlsDescriptorPair,
    /// Dynamic: the result of calling the function at `B + A`.
    IndirectRelative,
    /// Dynamic: bytes copied out of another image; never produced, never accepted.
    Copy,
}

/// What a relocation's value counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the value itself.
    Absolute,
    /// The place: `V - P`.
    Place,
    /// The place's 4 KiB page, of the value's page: `Page(V) - Page(P)`.
    Page,
    /// The global offset table: `V - GOT`.
    Got,
    /// The 4 KiB page of the global offset table: `V - Page(GOT)`.
    GotPage,
}

/// How code may be rewritten, where the ABI says that it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relaxation {
    /// Not at all.
    None,
    /// A load from the GOT may compute the address instead, when the symbol is in the image.
    GotLoad,
    /// Likewise, and a branch through the GOT may go there directly.
    GotLoadOrBranch,
    /// Together with the [`Relaxation::GotPageLoad`] of the instruction behind, it may compute the
    /// address instead, when the symbol is in the image.
    GotPage,
    /// The second of such a pair.
    GotPageLoad,
}

impl Relaxation {
    /// Whether one instruction by itself loads from the GOT.
    #[must_use]
    #[inline]
    pub const fn is_got_load(self) -> bool {
        matches!(self, Self::GotLoad | Self::GotLoadOrBranch)
    }
}

impl Base {
    /// Counts `value` from the base.
    #[must_use]
    #[inline]
    pub const fn apply(self, value: u64, place: u64, got: u64) -> u64 {
        const PAGE: u64 = !0xfff;
        match self {
            Self::Absolute => value,
            Self::Place => value.wrapping_sub(place),
            Self::Page => (value & PAGE).wrapping_sub(place & PAGE),
            Self::Got => value.wrapping_sub(got),
            Self::GotPage => value.wrapping_sub(got & PAGE),
        }
    }
}

/// Where the bits of a value go in the bytes at the place.
///
/// Instructions are 32-bit words; their fields leave the other bits as they are.
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
    /// `width` bits of the value, from bit `from` on, into the bits from `to` on of an instruction.
    Bits {
        /// The field's lowest bit in the instruction.
        to: u32,
        /// The field's width in bits.
        width: u32,
        /// The lowest bit of the value that goes into it.
        from: u32,
    },
    /// The immediate of AArch64's `adr` and `adrp`: two low bits at 29, the other 19 at 5.
    Adr {
        /// The lowest bit of the value that goes into it: 0 for `adr`, 12 for `adrp`.
        from: u32,
    },
    /// The immediate of AArch64's `movz`/`movn`, which of the two the value's sign decides: 16 bits at 5.
    /// A `movk`, which ends a sequence that the sign has begun, stays one.
    MovSigned {
        /// The lowest bit of the value that goes into it.
        from: u32,
    },
}

impl Field {
    /// The number of bytes at the place that belong to the field.
    #[must_use]
    #[inline]
    pub const fn size(self) -> usize {
        match self {
            Self::None => 0,
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word | Self::Bits { .. } | Self::Adr { .. } | Self::MovSigned { .. } => 4,
            Self::Xword => 8,
        }
    }

    /// Whether it holds only bits below the 12th: where something is in its 4 KiB page.
    #[must_use]
    pub const fn is_page_offset(self) -> bool {
        matches!(self, Self::Bits { width, from, .. } if from + width <= 12)
    }

    /// Writes `value`'s bits into `place`, which starts at the relocation's place.
    ///
    /// # Panics
    ///
    /// If `place` is shorter than [`Field::size`]; callers cut it to that size when they check the
    /// relocation's offset.
    #[inline]
    pub fn write(self, place: &mut [u8], value: u64) {
        match self {
            Self::None => {}
            Self::Byte => place[..1].copy_from_slice(&value.to_le_bytes()[..1]),
            Self::Half => place[..2].copy_from_slice(&value.to_le_bytes()[..2]),
            Self::Word => place[..4].copy_from_slice(&value.to_le_bytes()[..4]),
            Self::Xword => place[..8].copy_from_slice(&value.to_le_bytes()),
            Self::Bits { .. } | Self::Adr { .. } | Self::MovSigned { .. } => {
                let mut instruction = [0; 4];
                instruction.copy_from_slice(&place[..4]);
                let instruction = self.insert(u32::from_le_bytes(instruction), value);
                place[..4].copy_from_slice(&instruction.to_le_bytes());
            }
        }
    }

    /// The instruction with the value's bits in this field of it.
    fn insert(self, instruction: u32, value: u64) -> u32 {
        let bits = |from: u32, width: u32| {
            let bits = value >> from & ((1 << width) - 1);
            u32::try_from(bits).expect("a field is narrower than its instruction")
        };
        let mask = |to: u32, width: u32| ((1_u32 << width) - 1) << to;
        match self {
            Self::None | Self::Byte | Self::Half | Self::Word | Self::Xword => instruction,
            Self::Bits { to, width, from } => {
                instruction & !mask(to, width) | bits(from, width) << to
            }
            Self::Adr { from } => {
                let cleared = instruction & !mask(29, 2) & !mask(5, 19);
                cleared | bits(from, 2) << 29 | bits(from + 2, 19) << 5
            }
            Self::MovSigned { from } => {
                // movn writes the complement of its immediate; bit 30 tells it from movz, and bit 29
                // tells movk, which has no sign, from both.
                const MOVZ: u32 = 1 << 30;
                const MOVK: u32 = 1 << 29;
                let is_negative = value.cast_signed() < 0 && instruction & MOVK == 0;
                let value = if is_negative { !value } else { value };
                let immediate = u32::try_from(value >> from & 0xffff).expect("16 bits fit");
                let cleared = instruction & !mask(5, 16) & !MOVZ;
                cleared | immediate << 5 | if is_negative { 0 } else { MOVZ }
            }
        }
    }

    /// Reads the addend stored at the place, sign-extended: what a `SHT_REL` relocation adds.
    ///
    /// An instruction that leaves out the low bits of a value has its addend scaled; one that holds a higher
    /// part of it (`adrp`, `movk` with a shift) has not, so that all instructions for one value can say the
    /// same addend. AAELF64, "Addends and PC-bias", as linkers read it.
    ///
    /// # Panics
    ///
    /// As [`Field::write`].
    #[must_use]
    pub fn read(self, place: &[u8]) -> i64 {
        /// Where the higher parts of a value start.
        const PART: u32 = 12;
        let mut word = [0; 8];
        word[..self.size()].copy_from_slice(&place[..self.size()]);
        let word = u64::from_le_bytes(word);
        let bits = |to: u32, width: u32| word >> to & ((1 << width) - 1);
        let (value, width) = match self {
            Self::None => return 0,
            Self::Byte => (word, 8),
            Self::Half => (word, 16),
            Self::Word => (word, 32),
            Self::Xword => (word, 64),
            Self::Bits { to, width, from } if from < PART => {
                (bits(to, width) << from, width + from)
            }
            Self::Bits { to, width, .. } => (bits(to, width), width),
            Self::Adr { .. } => (bits(5, 19) << 2 | bits(29, 2), 21),
            Self::MovSigned { .. } => (bits(5, 16), 16),
        };
        let unused = 64 - width;
        (value << unused).cast_signed() >> unused
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
    /// As [`Range::Signed`], and a multiple of this many bytes: the instruction leaves out the low bits.
    Aligned(u32, u32),
    /// As [`Range::Unsigned`], and a multiple of this many bytes.
    UnsignedAligned(u32, u32),
    /// A multiple of this many bytes.
    Multiple(u32),
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
    #[inline]
    pub const fn check(self, value: u64) -> Result<(), OutOfRange> {
        let value = value.cast_signed();
        let fits = match self {
            Self::Any => true,
            Self::Signed(bits) => is_signed(value, bits),
            Self::Unsigned(bits) => value >= 0 && value < 1_i64 << bits,
            Self::Either(bits) => value >= -(1_i64 << (bits - 1)) && value < 1_i64 << bits,
            Self::Aligned(bits, bytes) => is_signed(value, bits) && value % bytes as i64 == 0,
            Self::UnsignedAligned(bits, bytes) => {
                value >= 0 && value < 1_i64 << bits && value % bytes as i64 == 0
            }
            Self::Multiple(bytes) => value % bytes as i64 == 0,
        };
        if fits {
            Ok(())
        } else {
            Err(OutOfRange { value, range: self })
        }
    }
}

/// Whether `bits` bits hold `value` with its sign.
const fn is_signed(value: i64, bits: u32) -> bool {
    value >= -(1_i64 << (bits - 1)) && value < 1_i64 << (bits - 1)
}

impl Range {
    /// Whether every distance of up to `reach`, back or forth, is in the range, as far as it is a multiple of
    /// what the range asks for.
    #[must_use]
    pub const fn reaches(self, reach: u64) -> bool {
        match self {
            Self::Any | Self::Multiple(_) => true,
            Self::Signed(bits) | Self::Aligned(bits, _) | Self::Either(bits) => {
                reach < 1 << (bits - 1)
            }
            Self::Unsigned(_) | Self::UnsignedAligned(..) => false,
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
            Self::Aligned(bits, bytes) => {
                write!(f, "the multiples of {bytes} in [-2^{0}, 2^{0})", bits - 1)
            }
            Self::UnsignedAligned(bits, bytes) => {
                write!(f, "the multiples of {bytes} in [0, 2^{bits})")
            }
            Self::Multiple(bytes) => write!(f, "the multiples of {bytes}"),
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
