//! AArch64, LP64, little-endian.
//!
//! What is odd about it: an instruction holds few bits of an address, so a reference takes two or
//! more instructions, each with a relocation of its own: `adrp` for the 4 KiB page, then an `add` or a
//! load for the low 12 bits, which loads scale by their size. Branches reach 128 MiB; beyond, they
//! go through a thunk. The thread pointer points *before* the thread-local variables (TLS variant 1).
//!
//! Source of the table: AAELF64 2025Q1, "Relocation types", with its headings inline.

use crate::PropertyRule;
use crate::machine::{DynamicTypes, RuntimeFunction, RuntimeRelocation, Thunk};
use crate::reloc::{Base, Expression, Field, Range, Relaxation, Reloc};

pub(crate) const E_MACHINE: u16 = 183;
/// Linux on AArch64 has pages of 4, 16 or 64 KiB.
pub(crate) const MAX_PAGE_SIZE: u64 = 65536;
/// `adrp` counts in pages of 4 KiB, and what follows it in bytes of one.
pub(crate) const BIAS_UNIT: u64 = 4096;
pub(crate) const PLT_ENTRY_SIZE: u64 = 16;
/// Four of them are `udf #0`: running into a gap traps.
pub(crate) const CODE_FILL: u8 = 0;

const R_AARCH64_ABS64: u32 = 0x101;
const R_AARCH64_ADR_PREL_PG_HI21: u32 = 0x113;
const R_AARCH64_ADD_ABS_LO12_NC: u32 = 0x115;
const R_AARCH64_JUMP26: u32 = 0x11a;
const R_AARCH64_ADR_GOT_PAGE: u32 = 0x137;
const R_AARCH64_LD64_GOT_LO12_NC: u32 = 0x138;
const R_AARCH64_GLOB_DAT: u32 = 0x401;
const R_AARCH64_RELATIVE: u32 = 0x403;
const R_AARCH64_TLS_DTPMOD64: u32 = 0x404;
const R_AARCH64_TLS_DTPREL64: u32 = 0x405;
const R_AARCH64_TLS_TPREL64: u32 = 0x406;
const R_AARCH64_TLSDESC: u32 = 0x407;
const R_AARCH64_IRELATIVE: u32 = 0x408;

pub(crate) const DYNAMIC_TYPES: DynamicTypes = DynamicTypes {
    absolute: R_AARCH64_ABS64,
    relative: R_AARCH64_RELATIVE,
    glob_dat: R_AARCH64_GLOB_DAT,
    tls_module: R_AARCH64_TLS_DTPMOD64,
    tls_block_offset: R_AARCH64_TLS_DTPREL64,
    tls_offset: R_AARCH64_TLS_TPREL64,
    tls_descriptor: R_AARCH64_TLSDESC,
    indirect_relative: R_AARCH64_IRELATIVE,
};

/// Of `b` and `bl`.
const BRANCH_RANGE: Range = Range::Aligned(28, 4);

// Fields of instructions, by the instructions that have them.
/// `b`, `bl`.
const IMM26: Field = Field::Bits {
    to: 0,
    width: 26,
    from: 2,
};
/// `b.cond`, `cbz`, and loads of literals.
const IMM19: Field = Field::Bits {
    to: 5,
    width: 19,
    from: 2,
};
/// `tbz`.
const IMM14: Field = Field::Bits {
    to: 5,
    width: 14,
    from: 2,
};
const ADR: Field = Field::Adr { from: 0 };
const ADRP: Field = Field::Adr { from: 12 };
/// `add`, and loads and stores of bytes: the low 12 bits.
const LO12: Field = Field::Bits {
    to: 10,
    width: 12,
    from: 0,
};
/// Loads and stores of 2, 4, 8 and 16 bytes: the low 12 bits, scaled.
const LO12_2: Field = Field::Bits {
    to: 10,
    width: 11,
    from: 1,
};
const LO12_4: Field = Field::Bits {
    to: 10,
    width: 10,
    from: 2,
};
const LO12_8: Field = Field::Bits {
    to: 10,
    width: 9,
    from: 3,
};
const LO12_16: Field = Field::Bits {
    to: 10,
    width: 8,
    from: 4,
};
/// Loads of 8 bytes: the low 15 bits, scaled.
const LO15_8: Field = Field::Bits {
    to: 10,
    width: 12,
    from: 3,
};
/// `add` with its immediate shifted by 12.
const HI12: Field = Field::Bits {
    to: 10,
    width: 12,
    from: 12,
};
/// `movz`, `movk`.
const MOV0: Field = Field::Bits {
    to: 5,
    width: 16,
    from: 0,
};
const MOV16: Field = Field::Bits {
    to: 5,
    width: 16,
    from: 16,
};
const MOV32: Field = Field::Bits {
    to: 5,
    width: 16,
    from: 32,
};
const MOV48: Field = Field::Bits {
    to: 5,
    width: 16,
    from: 48,
};
/// `movz` or `movn`.
const MOVS0: Field = Field::MovSigned { from: 0 };
const MOVS16: Field = Field::MovSigned { from: 16 };
const MOVS32: Field = Field::MovSigned { from: 32 };
const MOVS48: Field = Field::MovSigned { from: 48 };

/// The relocation table, one row an `R_AARCH64_*` name.
#[inline]
#[rustfmt::skip] // A row a line.
pub(crate) const fn reloc(r_type: u32) -> Option<Reloc> {
    use Base as B;
    use Expression as E;
    use Field as F;
    use Range as R;
    let (name, expression, base, field, range) = match r_type {
        // Null relocations.
        0 | 0x100 => ("R_AARCH64_NONE", E::None, B::Absolute, F::None, R::Any),
        // Data relocations.
        R_AARCH64_ABS64 => ("R_AARCH64_ABS64", E::Symbol, B::Absolute, F::Xword, R::Any),
        0x102 => ("R_AARCH64_ABS32", E::Symbol, B::Absolute, F::Word, R::Either(32)),
        0x103 => ("R_AARCH64_ABS16", E::Symbol, B::Absolute, F::Half, R::Either(16)),
        0x104 => ("R_AARCH64_PREL64", E::Symbol, B::Place, F::Xword, R::Any),
        0x105 => ("R_AARCH64_PREL32", E::Symbol, B::Place, F::Word, R::Either(32)),
        0x106 => ("R_AARCH64_PREL16", E::Symbol, B::Place, F::Half, R::Either(16)),
        // Static AArch64 relocations.
        0x107 => ("R_AARCH64_MOVW_UABS_G0", E::Symbol, B::Absolute, MOV0, R::Unsigned(16)),
        0x108 => ("R_AARCH64_MOVW_UABS_G0_NC", E::Symbol, B::Absolute, MOV0, R::Any),
        0x109 => ("R_AARCH64_MOVW_UABS_G1", E::Symbol, B::Absolute, MOV16, R::Unsigned(32)),
        0x10a => ("R_AARCH64_MOVW_UABS_G1_NC", E::Symbol, B::Absolute, MOV16, R::Any),
        0x10b => ("R_AARCH64_MOVW_UABS_G2", E::Symbol, B::Absolute, MOV32, R::Unsigned(48)),
        0x10c => ("R_AARCH64_MOVW_UABS_G2_NC", E::Symbol, B::Absolute, MOV32, R::Any),
        0x10d => ("R_AARCH64_MOVW_UABS_G3", E::Symbol, B::Absolute, MOV48, R::Any),
        0x10e => ("R_AARCH64_MOVW_SABS_G0", E::Symbol, B::Absolute, MOVS0, R::Signed(17)),
        0x10f => ("R_AARCH64_MOVW_SABS_G1", E::Symbol, B::Absolute, MOVS16, R::Signed(33)),
        0x110 => ("R_AARCH64_MOVW_SABS_G2", E::Symbol, B::Absolute, MOVS32, R::Signed(49)),
        0x111 => ("R_AARCH64_LD_PREL_LO19", E::Symbol, B::Place, IMM19, R::Aligned(21, 4)),
        0x112 => ("R_AARCH64_ADR_PREL_LO21", E::Symbol, B::Place, ADR, R::Signed(21)),
        R_AARCH64_ADR_PREL_PG_HI21 => ("R_AARCH64_ADR_PREL_PG_HI21", E::Symbol, B::Page, ADRP, R::Signed(33)),
        0x114 => ("R_AARCH64_ADR_PREL_PG_HI21_NC", E::Symbol, B::Page, ADRP, R::Any),
        R_AARCH64_ADD_ABS_LO12_NC => ("R_AARCH64_ADD_ABS_LO12_NC", E::Symbol, B::Absolute, LO12, R::Any),
        0x116 => ("R_AARCH64_LDST8_ABS_LO12_NC", E::Symbol, B::Absolute, LO12, R::Any),
        0x117 => ("R_AARCH64_TSTBR14", E::Plt, B::Place, IMM14, R::Aligned(16, 4)),
        0x118 => ("R_AARCH64_CONDBR19", E::Plt, B::Place, IMM19, R::Aligned(21, 4)),
        R_AARCH64_JUMP26 => ("R_AARCH64_JUMP26", E::Plt, B::Place, IMM26, BRANCH_RANGE),
        0x11b => ("R_AARCH64_CALL26", E::Plt, B::Place, IMM26, BRANCH_RANGE),
        0x11c => ("R_AARCH64_LDST16_ABS_LO12_NC", E::Symbol, B::Absolute, LO12_2, R::Multiple(2)),
        0x11d => ("R_AARCH64_LDST32_ABS_LO12_NC", E::Symbol, B::Absolute, LO12_4, R::Multiple(4)),
        0x11e => ("R_AARCH64_LDST64_ABS_LO12_NC", E::Symbol, B::Absolute, LO12_8, R::Multiple(8)),
        0x11f => ("R_AARCH64_MOVW_PREL_G0", E::Symbol, B::Place, MOVS0, R::Signed(17)),
        0x120 => ("R_AARCH64_MOVW_PREL_G0_NC", E::Symbol, B::Place, MOV0, R::Any),
        0x121 => ("R_AARCH64_MOVW_PREL_G1", E::Symbol, B::Place, MOVS16, R::Signed(33)),
        0x122 => ("R_AARCH64_MOVW_PREL_G1_NC", E::Symbol, B::Place, MOV16, R::Any),
        0x123 => ("R_AARCH64_MOVW_PREL_G2", E::Symbol, B::Place, MOVS32, R::Signed(49)),
        0x124 => ("R_AARCH64_MOVW_PREL_G2_NC", E::Symbol, B::Place, MOV32, R::Any),
        0x125 => ("R_AARCH64_MOVW_PREL_G3", E::Symbol, B::Place, MOVS48, R::Any),
        0x12b => ("R_AARCH64_LDST128_ABS_LO12_NC", E::Symbol, B::Absolute, LO12_16, R::Multiple(16)),
        0x12c => ("R_AARCH64_MOVW_GOTOFF_G0", E::GotEntry, B::Got, MOVS0, R::Signed(17)),
        0x12d => ("R_AARCH64_MOVW_GOTOFF_G0_NC", E::GotEntry, B::Got, MOV0, R::Any),
        0x12e => ("R_AARCH64_MOVW_GOTOFF_G1", E::GotEntry, B::Got, MOVS16, R::Signed(33)),
        0x12f => ("R_AARCH64_MOVW_GOTOFF_G1_NC", E::GotEntry, B::Got, MOV16, R::Any),
        0x130 => ("R_AARCH64_MOVW_GOTOFF_G2", E::GotEntry, B::Got, MOVS32, R::Signed(49)),
        0x131 => ("R_AARCH64_MOVW_GOTOFF_G2_NC", E::GotEntry, B::Got, MOV32, R::Any),
        0x132 => ("R_AARCH64_MOVW_GOTOFF_G3", E::GotEntry, B::Got, MOVS48, R::Any),
        0x133 => ("R_AARCH64_GOTREL64", E::Symbol, B::Got, F::Xword, R::Any),
        0x134 => ("R_AARCH64_GOTREL32", E::Symbol, B::Got, F::Word, R::Signed(32)),
        0x135 => ("R_AARCH64_GOT_LD_PREL19", E::GotEntry, B::Place, IMM19, R::Aligned(21, 4)),
        0x136 => ("R_AARCH64_LD64_GOTOFF_LO15", E::GotEntry, B::Got, LO15_8, R::UnsignedAligned(15, 8)),
        R_AARCH64_ADR_GOT_PAGE => ("R_AARCH64_ADR_GOT_PAGE", E::GotEntry, B::Page, ADRP, R::Signed(33)),
        R_AARCH64_LD64_GOT_LO12_NC => ("R_AARCH64_LD64_GOT_LO12_NC", E::GotEntry, B::Absolute, LO12_8, R::Multiple(8)),
        0x139 => ("R_AARCH64_LD64_GOTPAGE_LO15", E::GotEntry, B::GotPage, LO15_8, R::UnsignedAligned(15, 8)),
        0x13a => ("R_AARCH64_PLT32", E::Plt, B::Place, F::Word, R::Signed(32)),
        0x13b => ("R_AARCH64_GOTPCREL32", E::GotEntry, B::Place, F::Word, R::Signed(32)),
        // General dynamic TLS relocations.
        0x200 => ("R_AARCH64_TLSGD_ADR_PREL21", E::TlsPair, B::Place, ADR, R::Signed(21)),
        0x201 => ("R_AARCH64_TLSGD_ADR_PAGE21", E::TlsPair, B::Page, ADRP, R::Signed(33)),
        0x202 => ("R_AARCH64_TLSGD_ADD_LO12_NC", E::TlsPair, B::Absolute, LO12, R::Any),
        0x203 => ("R_AARCH64_TLSGD_MOVW_G1", E::TlsPair, B::Got, MOVS16, R::Signed(33)),
        0x204 => ("R_AARCH64_TLSGD_MOVW_G0_NC", E::TlsPair, B::Got, MOV0, R::Any),
        // Local dynamic TLS relocations.
        0x205 => ("R_AARCH64_TLSLD_ADR_PREL21", E::TlsModulePair, B::Place, ADR, R::Signed(21)),
        0x206 => ("R_AARCH64_TLSLD_ADR_PAGE21", E::TlsModulePair, B::Page, ADRP, R::Signed(33)),
        0x207 => ("R_AARCH64_TLSLD_ADD_LO12_NC", E::TlsModulePair, B::Absolute, LO12, R::Any),
        0x208 => ("R_AARCH64_TLSLD_MOVW_G1", E::TlsModulePair, B::Got, MOVS16, R::Signed(33)),
        0x209 => ("R_AARCH64_TLSLD_MOVW_G0_NC", E::TlsModulePair, B::Got, MOV0, R::Any),
        0x20a => ("R_AARCH64_TLSLD_LD_PREL19", E::TlsModulePair, B::Place, IMM19, R::Aligned(21, 4)),
        0x20b => ("R_AARCH64_TLSLD_MOVW_DTPREL_G2", E::TlsBlockOffset, B::Absolute, MOVS32, R::Signed(49)),
        0x20c => ("R_AARCH64_TLSLD_MOVW_DTPREL_G1", E::TlsBlockOffset, B::Absolute, MOVS16, R::Signed(33)),
        0x20d => ("R_AARCH64_TLSLD_MOVW_DTPREL_G1_NC", E::TlsBlockOffset, B::Absolute, MOV16, R::Any),
        0x20e => ("R_AARCH64_TLSLD_MOVW_DTPREL_G0", E::TlsBlockOffset, B::Absolute, MOVS0, R::Signed(17)),
        0x20f => ("R_AARCH64_TLSLD_MOVW_DTPREL_G0_NC", E::TlsBlockOffset, B::Absolute, MOV0, R::Any),
        0x210 => ("R_AARCH64_TLSLD_ADD_DTPREL_HI12", E::TlsBlockOffset, B::Absolute, HI12, R::Unsigned(24)),
        0x211 => ("R_AARCH64_TLSLD_ADD_DTPREL_LO12", E::TlsBlockOffset, B::Absolute, LO12, R::Unsigned(12)),
        0x212 => ("R_AARCH64_TLSLD_ADD_DTPREL_LO12_NC", E::TlsBlockOffset, B::Absolute, LO12, R::Any),
        0x213 => ("R_AARCH64_TLSLD_LDST8_DTPREL_LO12", E::TlsBlockOffset, B::Absolute, LO12, R::Unsigned(12)),
        0x214 => ("R_AARCH64_TLSLD_LDST8_DTPREL_LO12_NC", E::TlsBlockOffset, B::Absolute, LO12, R::Any),
        0x215 => ("R_AARCH64_TLSLD_LDST16_DTPREL_LO12", E::TlsBlockOffset, B::Absolute, LO12_2, R::UnsignedAligned(12, 2)),
        0x216 => ("R_AARCH64_TLSLD_LDST16_DTPREL_LO12_NC", E::TlsBlockOffset, B::Absolute, LO12_2, R::Multiple(2)),
        0x217 => ("R_AARCH64_TLSLD_LDST32_DTPREL_LO12", E::TlsBlockOffset, B::Absolute, LO12_4, R::UnsignedAligned(12, 4)),
        0x218 => ("R_AARCH64_TLSLD_LDST32_DTPREL_LO12_NC", E::TlsBlockOffset, B::Absolute, LO12_4, R::Multiple(4)),
        0x219 => ("R_AARCH64_TLSLD_LDST64_DTPREL_LO12", E::TlsBlockOffset, B::Absolute, LO12_8, R::UnsignedAligned(12, 8)),
        0x21a => ("R_AARCH64_TLSLD_LDST64_DTPREL_LO12_NC", E::TlsBlockOffset, B::Absolute, LO12_8, R::Multiple(8)),
        // Initial exec TLS relocations.
        0x21b => ("R_AARCH64_TLSIE_MOVW_GOTTPREL_G1", E::TlsOffsetEntry, B::Got, MOVS16, R::Signed(33)),
        0x21c => ("R_AARCH64_TLSIE_MOVW_GOTTPREL_G0_NC", E::TlsOffsetEntry, B::Got, MOV0, R::Any),
        0x21d => ("R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21", E::TlsOffsetEntry, B::Page, ADRP, R::Signed(33)),
        0x21e => ("R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC", E::TlsOffsetEntry, B::Absolute, LO12_8, R::Multiple(8)),
        0x21f => ("R_AARCH64_TLSIE_LD_GOTTPREL_PREL19", E::TlsOffsetEntry, B::Place, IMM19, R::Aligned(21, 4)),
        // Local exec TLS relocations.
        0x220 => ("R_AARCH64_TLSLE_MOVW_TPREL_G2", E::TlsOffset, B::Absolute, MOVS32, R::Signed(49)),
        0x221 => ("R_AARCH64_TLSLE_MOVW_TPREL_G1", E::TlsOffset, B::Absolute, MOVS16, R::Signed(33)),
        0x222 => ("R_AARCH64_TLSLE_MOVW_TPREL_G1_NC", E::TlsOffset, B::Absolute, MOV16, R::Any),
        0x223 => ("R_AARCH64_TLSLE_MOVW_TPREL_G0", E::TlsOffset, B::Absolute, MOVS0, R::Signed(17)),
        0x224 => ("R_AARCH64_TLSLE_MOVW_TPREL_G0_NC", E::TlsOffset, B::Absolute, MOV0, R::Any),
        0x225 => ("R_AARCH64_TLSLE_ADD_TPREL_HI12", E::TlsOffset, B::Absolute, HI12, R::Unsigned(24)),
        0x226 => ("R_AARCH64_TLSLE_ADD_TPREL_LO12", E::TlsOffset, B::Absolute, LO12, R::Unsigned(12)),
        0x227 => ("R_AARCH64_TLSLE_ADD_TPREL_LO12_NC", E::TlsOffset, B::Absolute, LO12, R::Any),
        0x228 => ("R_AARCH64_TLSLE_LDST8_TPREL_LO12", E::TlsOffset, B::Absolute, LO12, R::Unsigned(12)),
        0x229 => ("R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC", E::TlsOffset, B::Absolute, LO12, R::Any),
        0x22a => ("R_AARCH64_TLSLE_LDST16_TPREL_LO12", E::TlsOffset, B::Absolute, LO12_2, R::UnsignedAligned(12, 2)),
        0x22b => ("R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC", E::TlsOffset, B::Absolute, LO12_2, R::Multiple(2)),
        0x22c => ("R_AARCH64_TLSLE_LDST32_TPREL_LO12", E::TlsOffset, B::Absolute, LO12_4, R::UnsignedAligned(12, 4)),
        0x22d => ("R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC", E::TlsOffset, B::Absolute, LO12_4, R::Multiple(4)),
        0x22e => ("R_AARCH64_TLSLE_LDST64_TPREL_LO12", E::TlsOffset, B::Absolute, LO12_8, R::UnsignedAligned(12, 8)),
        0x22f => ("R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC", E::TlsOffset, B::Absolute, LO12_8, R::Multiple(8)),
        // TLS descriptor relocations.
        0x230 => ("R_AARCH64_TLSDESC_LD_PREL19", E::TlsDescriptor, B::Place, IMM19, R::Aligned(21, 4)),
        0x231 => ("R_AARCH64_TLSDESC_ADR_PREL21", E::TlsDescriptor, B::Place, ADR, R::Signed(21)),
        0x232 => ("R_AARCH64_TLSDESC_ADR_PAGE21", E::TlsDescriptor, B::Page, ADRP, R::Signed(33)),
        0x233 => ("R_AARCH64_TLSDESC_LD64_LO12", E::TlsDescriptor, B::Absolute, LO12_8, R::Multiple(8)),
        0x234 => ("R_AARCH64_TLSDESC_ADD_LO12", E::TlsDescriptor, B::Absolute, LO12, R::Any),
        0x235 => ("R_AARCH64_TLSDESC_OFF_G1", E::TlsDescriptor, B::Got, MOVS16, R::Signed(33)),
        0x236 => ("R_AARCH64_TLSDESC_OFF_G0_NC", E::TlsDescriptor, B::Got, MOV0, R::Any),
        0x237 => ("R_AARCH64_TLSDESC_LDR", E::TlsDescriptorMark, B::Absolute, F::None, R::Any),
        0x238 => ("R_AARCH64_TLSDESC_ADD", E::TlsDescriptorMark, B::Absolute, F::None, R::Any),
        0x239 => ("R_AARCH64_TLSDESC_CALL", E::TlsDescriptorMark, B::Absolute, F::None, R::Any),
        0x23a => ("R_AARCH64_TLSLE_LDST128_TPREL_LO12", E::TlsOffset, B::Absolute, LO12_16, R::UnsignedAligned(12, 16)),
        0x23b => ("R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC", E::TlsOffset, B::Absolute, LO12_16, R::Multiple(16)),
        0x23c => ("R_AARCH64_TLSLD_LDST128_DTPREL_LO12", E::TlsBlockOffset, B::Absolute, LO12_16, R::UnsignedAligned(12, 16)),
        0x23d => ("R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC", E::TlsBlockOffset, B::Absolute, LO12_16, R::Multiple(16)),
        // Dynamic relocations.
        0x400 => ("R_AARCH64_COPY", E::Copy, B::Absolute, F::None, R::Any),
        R_AARCH64_GLOB_DAT => ("R_AARCH64_GLOB_DAT", E::GlobDat, B::Absolute, F::Xword, R::Any),
        0x402 => ("R_AARCH64_JUMP_SLOT", E::JumpSlot, B::Absolute, F::Xword, R::Any),
        R_AARCH64_RELATIVE => ("R_AARCH64_RELATIVE", E::Relative, B::Absolute, F::Xword, R::Any),
        R_AARCH64_TLS_DTPMOD64 => ("R_AARCH64_TLS_DTPMOD64", E::TlsModule, B::Absolute, F::Xword, R::Any),
        R_AARCH64_TLS_DTPREL64 => ("R_AARCH64_TLS_DTPREL64", E::TlsBlockOffset, B::Absolute, F::Xword, R::Any),
        R_AARCH64_TLS_TPREL64 => ("R_AARCH64_TLS_TPREL64", E::TlsOffset, B::Absolute, F::Xword, R::Any),
        R_AARCH64_TLSDESC => ("R_AARCH64_TLSDESC", E::TlsDescriptorPair, B::Absolute, F::Xword, R::Any),
        R_AARCH64_IRELATIVE => ("R_AARCH64_IRELATIVE", E::IndirectRelative, B::Absolute, F::Xword, R::Any),
        _ => return None,
    };
    let relaxation = match r_type {
        R_AARCH64_ADR_GOT_PAGE => Relaxation::GotPage,
        R_AARCH64_LD64_GOT_LO12_NC => Relaxation::GotPageLoad,
        _ => Relaxation::None,
    };
    Some(Reloc {
        name,
        expression,
        base,
        field,
        range,
        relaxation,
    })
}

/// Relaxes a pair; see [`crate::Machine::relax_got_pair`].
pub(crate) fn relax_got_pair(code: &mut [u8; 8]) -> Option<[Reloc; 2]> {
    let [page, load] =
        [0, 4].map(|at| u32::from_le_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]]));
    let register = page & 0x1f;
    // adrp x, :got:symbol; ldr x, [x, :got_lo12:symbol], with one register: the page is wanted by
    // nothing else.
    let is_pair = page & 0x9f00_0000 == 0x9000_0000
        && load & 0xffc0_0000 == 0xf940_0000
        && load & 0x1f == register
        && load >> 5 & 0x1f == register;
    if !is_pair {
        return None;
    }
    // add x, x, :lo12:symbol
    let add = 0x9100_0000 | register << 5 | register;
    code[4..].copy_from_slice(&add.to_le_bytes());
    Some([
        reloc(R_AARCH64_ADR_PREL_PG_HI21)?,
        reloc(R_AARCH64_ADD_ABS_LO12_NC)?,
    ])
}

/// AAELF64, "Call and Jump relocations": a linker may put code that changes x16, x17 and the flags
/// between these branches and where they go, and behind no other branch.
pub(crate) const THUNK: Thunk = Thunk {
    size: 16,
    branch: BRANCH_RANGE,
    reach: 1 << 27,
};

/// Writes one thunk; see [`crate::Machine::write_thunk`].
pub(crate) fn write_thunk(out: &mut [u8], thunk: u64, destination: u64) -> bool {
    let mut code = [
        0x5f, 0x24, 0x03, 0xd5, // bti  c
        0x10, 0x00, 0x00, 0x90, // adrp x16, destination
        0x10, 0x02, 0x00, 0x91, // add  x16, x16, :lo12:destination
        0x00, 0x02, 0x1f, 0xd6, // br   x16
    ];
    let page = Base::Page.apply(destination, thunk.wrapping_add(4), 0);
    ADRP.write(&mut code[4..], page);
    LO12.write(&mut code[8..], destination);
    out.copy_from_slice(&code);
    Range::Signed(33).check(page).is_ok()
}

/// `STO_AARCH64_VARIANT_PCS`: a function that is called with more registers than others, so that nothing may run
/// in between that changes them. AAELF64, "st_other Values".
pub(crate) const SYMBOL_MARKS: u8 = 0x80;

/// `GNU_PROPERTY_AARCH64_FEATURE_1_AND`.
const FEATURE_1_AND: u32 = 0xc000_0000;
const FEATURE_1_BTI: u32 = 1;

/// See [`crate::Machine::property_rule`]. AAELF64, "Program Property".
pub(crate) const fn property_rule(property: u32) -> Option<PropertyRule> {
    match property {
        FEATURE_1_AND => Some(PropertyRule::And),
        _ => None,
    }
}

/// See [`crate::Machine::needs_landing_pads`].
pub(crate) const fn needs_landing_pads(property: u32, value: u32) -> bool {
    property == FEATURE_1_AND && value & FEATURE_1_BTI != 0
}

/// See [`crate::Machine::without_thunks`]. A thunk jumps to what its register says, which may be a
/// function that expects direct branches only.
pub(crate) const fn without_thunks(property: u32) -> u32 {
    match property {
        FEATURE_1_AND => FEATURE_1_BTI,
        _ => 0,
    }
}

/// Writes one PLT entry; see [`crate::Machine::write_plt_entry`].
pub(crate) fn write_plt_entry(out: &mut [u8], plt_entry: u64, got_entry: u64) -> bool {
    let mut code = [
        0x5f, 0x24, 0x03, 0xd5, // bti  c
        0x10, 0x00, 0x00, 0x90, // adrp x16, got_entry
        0x11, 0x02, 0x40, 0xf9, // ldr  x17, [x16, :lo12:got_entry]
        0x20, 0x02, 0x1f, 0xd6, // br   x17
    ];
    let page = Base::Page.apply(got_entry, plt_entry.wrapping_add(4), 0);
    ADRP.write(&mut code[4..], page);
    LO12_8.write(&mut code[8..], got_entry);
    out.copy_from_slice(&code);
    Range::Signed(33).check(page).is_ok() && Range::Multiple(8).check(got_entry).is_ok()
}

/// Writes one stub; see [`crate::Machine::write_stub`].
///
/// What the code that it jumps to reads was written before the slot was, so nothing of it may be read
/// before: a branch alone does not say that.
pub(crate) fn write_stub(out: &mut [u8; 16], stub: u64, slot: u64) -> bool {
    *out = [
        0x5f, 0x24, 0x03, 0xd5, // bti  c
        0x10, 0x00, 0x00, 0x10, // adr  x16, slot
        0x11, 0xfe, 0xdf, 0xc8, // ldar x17, [x16]
        0x20, 0x02, 0x1f, 0xd6, // br   x17
    ];
    let distance = slot.wrapping_sub(stub.wrapping_add(4));
    ADR.write(&mut out[4..], distance);
    Range::Signed(21).check(distance).is_ok()
}

/// Each hands the image's `__dso_handle` to the C library, so that it knows whose exit handlers
/// to run when the image is unloaded.
pub(crate) const RUNTIME_FUNCTIONS: &[RuntimeFunction] = &[
    RuntimeFunction {
        name: "atexit",
        code: &[
            0x5f, 0x24, 0x03, 0xd5, // bti  c
            0x01, 0x00, 0x80, 0xd2, // mov  x1, #0
            0x02, 0x00, 0x00, 0x90, // adrp x2, __dso_handle
            0x42, 0x00, 0x00, 0x91, // add  x2, x2, :lo12:__dso_handle
            0x00, 0x00, 0x00, 0x14, // b    __cxa_atexit
        ],
        relocations: &[
            relocation(8, R_AARCH64_ADR_PREL_PG_HI21, "__dso_handle"),
            relocation(12, R_AARCH64_ADD_ABS_LO12_NC, "__dso_handle"),
            relocation(16, R_AARCH64_JUMP26, "__cxa_atexit"),
        ],
    },
    RuntimeFunction {
        name: "at_quick_exit",
        code: &[
            0x5f, 0x24, 0x03, 0xd5, // bti  c
            0x01, 0x00, 0x00, 0x90, // adrp x1, __dso_handle
            0x21, 0x00, 0x00, 0x91, // add  x1, x1, :lo12:__dso_handle
            0x00, 0x00, 0x00, 0x14, // b    __cxa_at_quick_exit
        ],
        relocations: &[
            relocation(4, R_AARCH64_ADR_PREL_PG_HI21, "__dso_handle"),
            relocation(8, R_AARCH64_ADD_ABS_LO12_NC, "__dso_handle"),
            relocation(12, R_AARCH64_JUMP26, "__cxa_at_quick_exit"),
        ],
    },
    RuntimeFunction {
        name: "pthread_atfork",
        code: &[
            0x5f, 0x24, 0x03, 0xd5, // bti  c
            0x03, 0x00, 0x00, 0x90, // adrp x3, __dso_handle
            0x63, 0x00, 0x00, 0x91, // add  x3, x3, :lo12:__dso_handle
            0x00, 0x00, 0x00, 0x14, // b    __register_atfork
        ],
        relocations: &[
            relocation(4, R_AARCH64_ADR_PREL_PG_HI21, "__dso_handle"),
            relocation(8, R_AARCH64_ADD_ABS_LO12_NC, "__dso_handle"),
            relocation(12, R_AARCH64_JUMP26, "__register_atfork"),
        ],
    },
];

const fn relocation(offset: u64, r_type: u32, symbol: &'static str) -> RuntimeRelocation {
    RuntimeRelocation {
        offset,
        r_type,
        symbol,
        addend: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instruction `word` with `value` written by relocation type `r_type`.
    fn apply(r_type: u32, word: u32, value: u64) -> u32 {
        let mut place = word.to_le_bytes();
        reloc(r_type).unwrap().field.write(&mut place, value);
        u32::from_le_bytes(place)
    }

    #[test]
    fn every_row_has_a_distinct_name() {
        let mut names = std::collections::HashSet::new();
        for row in (1..0x500)
            .filter(|&r_type| r_type != 0x100)
            .filter_map(reloc)
        {
            assert!(names.insert(row.name), "{} twice", row.name);
            assert!(matches!(row.field.size(), 0 | 2 | 4 | 8), "{}", row.name);
        }
    }

    #[test]
    fn ranges_are_those_that_the_fields_hold() {
        for row in (1..0x400).filter_map(reloc) {
            let fits = match (row.field, row.range) {
                (Field::Bits { width, from, .. }, Range::Unsigned(bits)) => bits == from + width,
                (
                    Field::Bits { width, from, .. },
                    Range::Aligned(bits, step) | Range::UnsignedAligned(bits, step),
                ) => bits == from + width && step == 1 << from,
                (Field::Bits { from, .. }, Range::Multiple(step)) => step == 1 << from,
                (Field::Adr { from }, Range::Signed(bits)) => bits == from + 21,
                // Either of `movz` and `movn` holds 16 bits.
                (Field::MovSigned { from }, Range::Signed(bits)) => bits == from + 17,
                (Field::MovSigned { from }, Range::Any) => from == 48,
                (Field::Word, Range::Signed(bits) | Range::Either(bits)) => bits == 32,
                (Field::Half, Range::Either(bits)) => bits == 16,
                (Field::None | Field::Xword | Field::Bits { .. } | Field::Adr { .. }, range) => {
                    range == Range::Any
                }
                _ => false,
            };
            assert!(fits, "{}: {}", row.name, row.range);
        }
    }

    #[test]
    fn every_row_holds_its_edges_and_refuses_one_past_each() {
        for row in (1..0x400).filter_map(reloc) {
            let (low, past, step) = match row.range {
                Range::Any => continue,
                Range::Signed(bits) => (-(1_i64 << (bits - 1)), 1 << (bits - 1), 1),
                Range::Unsigned(bits) => (0, 1_i64 << bits, 1),
                Range::Either(bits) => (-(1_i64 << (bits - 1)), 1 << bits, 1),
                Range::Aligned(bits, step) => (-(1_i64 << (bits - 1)), 1 << (bits - 1), step),
                Range::UnsignedAligned(bits, step) => (0, 1_i64 << bits, step),
                Range::Multiple(step) => (i64::MIN, i64::MAX - i64::from(step) + 1, step),
            };
            let step = i64::from(step);
            let fits = |value: i64| row.range.check(value.cast_unsigned()).is_ok();
            assert!(fits(low) && fits(past - step), "{}", row.name);
            assert!(step == 1 || !fits(low + 1), "{}", row.name);
            if !matches!(row.range, Range::Multiple(_)) {
                assert!(!fits(low - step) && !fits(past), "{}", row.name);
            }
            // What reads as signed at the place is what was written.
            let is_signed = matches!(row.range, Range::Signed(_) | Range::Aligned(..));
            let holds_all = match row.field {
                Field::Bits { .. } => true,
                Field::Adr { from } => from == 0,
                field => field == Field::Word,
            };
            for value in [low, past - step] {
                let mut place = [0; 4];
                row.field
                    .write(&mut place[..row.field.size()], value.cast_unsigned());
                if is_signed && holds_all {
                    assert_eq!(row.field.read(&place), value, "{}", row.name);
                }
            }
        }
    }

    #[test]
    fn fields_stand_where_the_instructions_have_them() {
        // bl +8; b -4; adrp x0, +0x1234 pages; add x0, x0, #0x678; ldr x1, [x0, #0x678].
        assert_eq!(apply(0x11b, 0x9400_0000, 8), 0x9400_0002);
        assert_eq!(apply(0x11a, 0x1400_0000, 4_u64.wrapping_neg()), 0x17ff_ffff);
        assert_eq!(apply(0x113, 0x9000_0000, 0x123_4000), 0x9000_91a0);
        assert_eq!(apply(0x115, 0x9100_0000, 0x5678), 0x9119_e000);
        assert_eq!(apply(0x11e, 0xf940_0001, 0x5678), 0xf943_3c01);
        // movz x0, #-2 becomes movn x0, #1.
        assert_eq!(apply(0x10e, 0xd280_0000, 2_u64.wrapping_neg()), 0x9280_0020);
        assert_eq!(apply(0x10e, 0x9280_0000, 2), 0xd280_0040);
        // Bits that are set already are cleared.
        assert_eq!(apply(0x11b, 0x97ff_ffff, 0), 0x9400_0000);
    }

    #[test]
    fn addends_are_read_from_instructions() {
        let read = |r_type, word: u32| reloc(r_type).unwrap().field.read(&word.to_le_bytes());
        // bl +8; b -4; b.eq -4; tbz +0x7ffc; ldr x0, +4.
        assert_eq!(read(0x11b, 0x9400_0002), 8);
        assert_eq!(read(0x11a, 0x17ff_ffff), -4);
        assert_eq!(read(0x118, 0x54ff_ffe0), -4);
        assert_eq!(read(0x117, 0x3603_ffe0), 0x7ffc);
        assert_eq!(read(0x111, 0x5800_0020), 4);
        // add x0, x0, #0x7ff, and #0xfff; ldr x0, [x0, #8]; ldr q0, [x0, #0x7f0].
        assert_eq!(read(0x115, 0x911f_fc00), 0x7ff);
        assert_eq!(read(0x115, 0x913f_fc00), -1);
        assert_eq!(read(0x11e, 0xf940_0400), 8);
        assert_eq!(read(0x12b, 0x3dc1_fc00), 0x7f0);
        // adr x0, -1; adrp x0, -1 page; movz x0, #0x7fff, and with a shift of 16; movn x0, #0xffff.
        assert_eq!(read(0x112, 0x70ff_ffe0), -1);
        assert_eq!(read(0x113, 0xf0ff_ffe0), -1);
        assert_eq!(read(0x108, 0xd28f_ffe0), 0x7fff);
        assert_eq!(read(0x10a, 0xf2af_ffe0), 0x7fff);
        assert_eq!(read(0x10e, 0x929f_ffe0), -1);
    }

    #[test]
    fn branches_reach_as_far_as_their_fields() {
        let check = |r_type, value: i64| {
            reloc(r_type)
                .unwrap()
                .range
                .check(value.cast_unsigned())
                .is_ok()
        };
        for (r_type, reach) in [(0x11b, 1_i64 << 27), (0x118, 1 << 20), (0x117, 1 << 15)] {
            assert!(check(r_type, reach - 4) && check(r_type, -reach));
            assert!(!check(r_type, reach) && !check(r_type, -reach - 4) && !check(r_type, 2));
        }
    }

    #[test]
    fn a_load_of_an_address_becomes_an_addition() {
        let pair = |page: u32, load: u32| {
            let mut code = [0; 8];
            code[..4].copy_from_slice(&page.to_le_bytes());
            code[4..].copy_from_slice(&load.to_le_bytes());
            code
        };
        // adrp x3, 0; ldr x3, [x3]  ->  adrp x3, 0; add x3, x3, #0
        let mut code = pair(0x9000_0003, 0xf940_0063);
        let relocs = relax_got_pair(&mut code).unwrap();
        assert_eq!(relocs.map(|reloc| reloc.base), [Base::Page, Base::Absolute]);
        assert_eq!(code, pair(0x9000_0003, 0x9100_0063));
        // The page in another register, the address in another, 4 bytes only, no page.
        for (page, load) in [
            (0x9000_0004, 0xf940_0063),
            (0x9000_0003, 0xf940_0064),
            (0x9000_0003, 0xb940_0063),
            (0x1000_0003, 0xf940_0063),
        ] {
            let mut code = pair(page, load);
            assert_eq!(relax_got_pair(&mut code), None);
            assert_eq!(code, pair(page, load));
        }
    }

    #[test]
    fn a_thunk_jumps_to_its_destination() {
        let mut thunk = [0; 16];
        assert!(write_thunk(&mut thunk, 0xffc, 0x2_3454));
        assert_eq!(thunk[4..8], 0xd000_0110_u32.to_le_bytes());
        assert_eq!(thunk[8..12], 0x9111_5210_u32.to_le_bytes());
        assert!(!write_thunk(&mut thunk, 0, 1 << 32));
    }

    #[test]
    fn a_stub_has_the_address_of_its_slot_and_jumps_through_it() {
        let mut stub = [0; 16];
        assert!(write_stub(&mut stub, 0x1000, 0x1_1008));
        // 0x10004 from the second instruction: its low two bits are the instruction's bits 29 and 30.
        assert_eq!(stub[4..8], 0x1008_0030_u32.to_le_bytes());
        assert_eq!(stub[8..12], 0xc8df_fe11_u32.to_le_bytes());
        assert!(write_stub(&mut stub, 0x1000, 0x1004 + 0xf_ffff));
        assert!(!write_stub(&mut stub, 0x1000, 0x1004 + 0x10_0000));
    }

    #[test]
    fn a_plt_entry_jumps_through_its_got_entry() {
        let mut entry = [0; 16];
        assert!(write_plt_entry(&mut entry, 0x1000, 0x2_3458));
        assert_eq!(entry[4..8], 0xd000_0110_u32.to_le_bytes());
        assert_eq!(entry[8..12], 0xf942_2e11_u32.to_le_bytes());
    }
}
