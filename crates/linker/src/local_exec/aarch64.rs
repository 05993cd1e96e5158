//! AArch64: an instruction adds 12 bits of the number, so each is taken out of line by itself.
//!
//! Source: AAELF64, "Relocations for thread-local storage" (local exec), and the Arm ARM's encodings.

use super::{Field, Fixup, OutOfLine};

const R_AARCH64_JUMP26: u32 = 0x11a;
const R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21: u32 = 0x21d;
const R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC: u32 = 0x21e;

const R_AARCH64_TLSLE_ADD_TPREL_HI12: u32 = 0x225;
const R_AARCH64_TLSLE_ADD_TPREL_LO12: u32 = 0x226;
const R_AARCH64_TLSLE_ADD_TPREL_LO12_NC: u32 = 0x227;
const LOADS_AND_STORES: std::ops::RangeInclusive<u32> = 0x228..=0x22f;
const LOADS_AND_STORES_128: std::ops::RangeInclusive<u32> = 0x23a..=0x23b;

/// The stack pointer or the zero register, which of them the instruction says.
const R31: u32 = 31;

/// What does the same as the instruction at `field` with the number from the GOT.
pub(super) fn out_of_line(section: &[u8], field: Field) -> Option<OutOfLine> {
    let end = field.offset.checked_add(4)?;
    let instruction = section.get(field.offset..end)?.first_chunk()?;
    let instruction = u32::from_le_bytes(*instruction);
    let (rd, rn) = (instruction & 31, instruction >> 5 & 31);
    // What is saved on the stack moves it.
    if rn == R31 {
        return None;
    }
    let scratch = [16, 17, 15]
        .into_iter()
        .find(|&each| each != rd && each != rn)?;
    // `and scratch, scratch, #~0xfff` or `#0xfff`: what this instruction adds of the number, the upper one all that
    // the lower one leaves; `nop` where it promises to add all of it.
    let masked = scratch << 5 | scratch;
    let mask = match field.r_type {
        R_AARCH64_TLSLE_ADD_TPREL_HI12 => 0x9274_cc00 | masked,
        _ if is_checked(field.r_type) => 0xd503_201f,
        _ => 0x9240_2c00 | masked,
    };
    let changed = match field.r_type {
        R_AARCH64_TLSLE_ADD_TPREL_HI12
        | R_AARCH64_TLSLE_ADD_TPREL_LO12
        | R_AARCH64_TLSLE_ADD_TPREL_LO12_NC => with_register(instruction, scratch)?,
        each if LOADS_AND_STORES.contains(&each) || LOADS_AND_STORES_128.contains(&each) => {
            indexed(instruction, scratch)?
        }
        _ => return None,
    };
    let addend = u32::try_from(field.addend)
        .ok()
        .filter(|&addend| addend < 1 << 12)?;
    let code = [
        // str scratch, [sp, #-16]!
        0xf81f_0fe0 | scratch,
        // adrp scratch, :gottprel:; ldr scratch, [scratch, :gottprel_lo12:]
        0x9000_0000 | scratch,
        0xf940_0000 | scratch << 5 | scratch,
        // add scratch, scratch, #addend
        0x9100_0000 | addend << 10 | scratch << 5 | scratch,
        mask,
        changed,
        // ldr scratch, [sp], #16
        0xf841_07e0 | scratch,
        // b
        0x1400_0000,
    ];
    let fixup = |offset, r_type| Fixup {
        offset,
        r_type,
        addend: 0,
    };
    Some(OutOfLine {
        instruction: field.offset..end,
        branch: 0x1400_0000_u32.to_le_bytes().to_vec(),
        to_code: fixup(0, R_AARCH64_JUMP26),
        code: code.into_iter().flat_map(u32::to_le_bytes).collect(),
        to_got: vec![
            fixup(4, R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21),
            fixup(8, R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC),
        ],
        back: Some(fixup(28, R_AARCH64_JUMP26)),
    })
}

/// Whether an instruction's twelve bits are to be the whole number: no `_NC` in the name.
fn is_checked(r_type: u32) -> bool {
    let is_even = r_type.is_multiple_of(2);
    is_even && r_type != R_AARCH64_TLSLE_ADD_TPREL_HI12
}

/// `add xd, xn, #n` as `add xd, xn, xm`.
fn with_register(instruction: u32, rm: u32) -> Option<u32> {
    const ADD_IMMEDIATE: u32 = 0x9100_0000;
    let is_add = instruction & 0xff80_0000 == ADD_IMMEDIATE;
    let rd = instruction & 31;
    (is_add && rd != R31).then_some(0x8b00_0000 | rm << 16 | instruction & 0x3ff)
}

/// `ldr xt, [xn, #n]` and its like as `ldr xt, [xn, xm]`.
fn indexed(instruction: u32, rm: u32) -> Option<u32> {
    const IS_UNSIGNED_OFFSET: u32 = 0x3900_0000;
    const REGISTER_OFFSET: u32 = 0x3820_6800;
    let is_load_or_store = instruction & 0x3b00_0000 == IS_UNSIGNED_OFFSET;
    // Size, whether it is a vector, and what is done.
    let kept = instruction & 0xc4c0_03ff;
    is_load_or_store.then_some(kept | REGISTER_OFFSET | rm << 16)
}
