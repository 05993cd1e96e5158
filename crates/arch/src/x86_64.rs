//! x86-64, LP64.
//!
//! What is odd about it: the processor adds PC-relative displacements to the address of the *next*
//! instruction, so addends of code relocations carry a `-4` (or more, when an immediate follows);
//! that bias stays in the addend and is in no expression. Instructions have no fixed length, so a
//! relaxation reads the opcode bytes before the place.
//!
//! Source of the table: x86-64 psABI 1.0, "Relocation Types", and for the thread-local ones
//! "Thread-Local Storage". `r_type` 29 (`GOTPC64`) and 26 share their expression.

use crate::PropertyRule;
use crate::machine::{DynamicTypes, Relaxed, RuntimeFunction, RuntimeRelocation};
use crate::reloc::{Base, Expression, Field, Range, Relaxation, Reloc};

pub(crate) const E_MACHINE: u16 = 62;
/// `SHN_X86_64_LCOMMON`: common symbols that code of the medium model may place far away.
pub(crate) const LARGE_COMMON: u16 = 0xff02;
/// Linux on x86-64 has 4 KiB pages only.
pub(crate) const MAX_PAGE_SIZE: u64 = 4096;
/// Code takes nothing for granted; a line of the cache.
pub(crate) const BIAS_UNIT: u64 = 64;
pub(crate) const PLT_ENTRY_SIZE: u64 = 8;
pub(crate) const MARKED_PLT_ENTRY_SIZE: u64 = 16;
/// `int3`: running into a gap traps.
pub(crate) const CODE_FILL: u8 = 0xcc;

const R_X86_64_64: u32 = 1;
const R_X86_64_PC32: u32 = 2;
const R_X86_64_PLT32: u32 = 4;
const R_X86_64_GLOB_DAT: u32 = 6;
const R_X86_64_RELATIVE: u32 = 8;
const R_X86_64_DTPMOD64: u32 = 16;
const R_X86_64_DTPOFF64: u32 = 17;
const R_X86_64_TPOFF64: u32 = 18;
const R_X86_64_TLSDESC: u32 = 36;
const R_X86_64_IRELATIVE: u32 = 37;

pub(crate) const DYNAMIC_TYPES: DynamicTypes = DynamicTypes {
    absolute: R_X86_64_64,
    relative: R_X86_64_RELATIVE,
    glob_dat: R_X86_64_GLOB_DAT,
    tls_module: R_X86_64_DTPMOD64,
    tls_block_offset: R_X86_64_DTPOFF64,
    tls_offset: R_X86_64_TPOFF64,
    tls_descriptor: R_X86_64_TLSDESC,
    indirect_relative: R_X86_64_IRELATIVE,
};

/// The relocation table, one row an `R_X86_64_*` name.
#[inline]
#[rustfmt::skip] // A row a line.
pub(crate) const fn reloc(r_type: u32) -> Option<Reloc> {
    use Base as B;
    use Expression as E;
    use Field as F;
    use Range as R;
    let (name, expression, base, field, range) = match r_type {
        0 => ("R_X86_64_NONE", E::None, B::Absolute, F::None, R::Any),
        R_X86_64_64 => ("R_X86_64_64", E::Symbol, B::Absolute, F::Xword, R::Any),
        R_X86_64_PC32 => ("R_X86_64_PC32", E::Symbol, B::Place, F::Word, R::Signed(32)),
        3 => ("R_X86_64_GOT32", E::GotEntry, B::Got, F::Word, R::Signed(32)),
        R_X86_64_PLT32 => ("R_X86_64_PLT32", E::Plt, B::Place, F::Word, R::Signed(32)),
        5 => ("R_X86_64_COPY", E::Copy, B::Absolute, F::None, R::Any),
        R_X86_64_GLOB_DAT => ("R_X86_64_GLOB_DAT", E::GlobDat, B::Absolute, F::Xword, R::Any),
        7 => ("R_X86_64_JUMP_SLOT", E::JumpSlot, B::Absolute, F::Xword, R::Any),
        R_X86_64_RELATIVE => ("R_X86_64_RELATIVE", E::Relative, B::Absolute, F::Xword, R::Any),
        9 => ("R_X86_64_GOTPCREL", E::GotEntry, B::Place, F::Word, R::Signed(32)),
        10 => ("R_X86_64_32", E::Symbol, B::Absolute, F::Word, R::Unsigned(32)),
        11 => ("R_X86_64_32S", E::Symbol, B::Absolute, F::Word, R::Signed(32)),
        12 => ("R_X86_64_16", E::Symbol, B::Absolute, F::Half, R::Either(16)),
        13 => ("R_X86_64_PC16", E::Symbol, B::Place, F::Half, R::Signed(16)),
        14 => ("R_X86_64_8", E::Symbol, B::Absolute, F::Byte, R::Either(8)),
        15 => ("R_X86_64_PC8", E::Symbol, B::Place, F::Byte, R::Signed(8)),
        R_X86_64_DTPMOD64 => ("R_X86_64_DTPMOD64", E::TlsModule, B::Absolute, F::Xword, R::Any),
        R_X86_64_DTPOFF64 => ("R_X86_64_DTPOFF64", E::TlsBlockOffset, B::Absolute, F::Xword, R::Any),
        R_X86_64_TPOFF64 => ("R_X86_64_TPOFF64", E::TlsOffset, B::Absolute, F::Xword, R::Any),
        19 => ("R_X86_64_TLSGD", E::TlsPair, B::Place, F::Word, R::Signed(32)),
        20 => ("R_X86_64_TLSLD", E::TlsModulePair, B::Place, F::Word, R::Signed(32)),
        21 => ("R_X86_64_DTPOFF32", E::TlsBlockOffset, B::Absolute, F::Word, R::Signed(32)),
        22 => ("R_X86_64_GOTTPOFF", E::TlsOffsetEntry, B::Place, F::Word, R::Signed(32)),
        23 => ("R_X86_64_TPOFF32", E::TlsOffset, B::Absolute, F::Word, R::Signed(32)),
        24 => ("R_X86_64_PC64", E::Symbol, B::Place, F::Xword, R::Any),
        25 => ("R_X86_64_GOTOFF64", E::Symbol, B::Got, F::Xword, R::Any),
        26 => ("R_X86_64_GOTPC32", E::GotBase, B::Place, F::Word, R::Signed(32)),
        27 => ("R_X86_64_GOT64", E::GotEntry, B::Got, F::Xword, R::Any),
        28 => ("R_X86_64_GOTPCREL64", E::GotEntry, B::Place, F::Xword, R::Any),
        29 => ("R_X86_64_GOTPC64", E::GotBase, B::Place, F::Xword, R::Any),
        30 => ("R_X86_64_GOTPLT64", E::GotEntry, B::Got, F::Xword, R::Any),
        31 => ("R_X86_64_PLTOFF64", E::Plt, B::Got, F::Xword, R::Any),
        32 => ("R_X86_64_SIZE32", E::Size, B::Absolute, F::Word, R::Unsigned(32)),
        33 => ("R_X86_64_SIZE64", E::Size, B::Absolute, F::Xword, R::Any),
        34 => ("R_X86_64_GOTPC32_TLSDESC", E::TlsDescriptor, B::Place, F::Word, R::Signed(32)),
        35 => ("R_X86_64_TLSDESC_CALL", E::TlsDescriptorMark, B::Absolute, F::None, R::Any),
        R_X86_64_TLSDESC => ("R_X86_64_TLSDESC", E::TlsDescriptorPair, B::Absolute, F::Xword, R::Any),
        R_X86_64_IRELATIVE => ("R_X86_64_IRELATIVE", E::IndirectRelative, B::Absolute, F::Xword, R::Any),
        41 => ("R_X86_64_GOTPCRELX", E::GotEntry, B::Place, F::Word, R::Signed(32)),
        42 => ("R_X86_64_REX_GOTPCRELX", E::GotEntry, B::Place, F::Word, R::Signed(32)),
        43 => ("R_X86_64_CODE_4_GOTPCRELX", E::GotEntry, B::Place, F::Word, R::Signed(32)),
        44 => ("R_X86_64_CODE_4_GOTTPOFF", E::TlsOffsetEntry, B::Place, F::Word, R::Signed(32)),
        45 => ("R_X86_64_CODE_4_GOTPC32_TLSDESC", E::TlsDescriptor, B::Place, F::Word, R::Signed(32)),
        46 => ("R_X86_64_CODE_5_GOTPCRELX", E::GotEntry, B::Place, F::Word, R::Signed(32)),
        47 => ("R_X86_64_CODE_5_GOTTPOFF", E::TlsOffsetEntry, B::Place, F::Word, R::Signed(32)),
        48 => ("R_X86_64_CODE_5_GOTPC32_TLSDESC", E::TlsDescriptor, B::Place, F::Word, R::Signed(32)),
        49 => ("R_X86_64_CODE_6_GOTPCRELX", E::GotEntry, B::Place, F::Word, R::Signed(32)),
        50 => ("R_X86_64_CODE_6_GOTTPOFF", E::TlsOffsetEntry, B::Place, F::Word, R::Signed(32)),
        51 => ("R_X86_64_CODE_6_GOTPC32_TLSDESC", E::TlsDescriptor, B::Place, F::Word, R::Signed(32)),
        _ => return None,
    };
    let relaxation = match r_type {
        41 | 42 => Relaxation::GotLoadOrBranch,
        // Direct branches have no form with a REX2 prefix. With longer ones there are no plain loads: an
        // opcode that looks like one is in another map.
        43 => Relaxation::GotLoad,
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

/// See [`crate::Machine::property_rule`]. psABI, "Program Property".
pub(crate) const fn property_rule(property: u32) -> Option<PropertyRule> {
    match property {
        0xc000_0002..=0xc000_7fff => Some(PropertyRule::And),
        0xc000_8000..=0xc000_ffff => Some(PropertyRule::Or),
        0xc001_0000..=0xc001_7fff => Some(PropertyRule::OrAnd),
        _ => None,
    }
}

/// `GNU_PROPERTY_X86_FEATURE_1_AND` and its bit for indirect branch tracking.
const FEATURE_1_AND: u32 = 0xc000_0002;
const FEATURE_1_IBT: u32 = 1;

/// See [`crate::Machine::needs_landing_pads`].
pub(crate) const fn needs_landing_pads(property: u32, value: u32) -> bool {
    property == FEATURE_1_AND && value & FEATURE_1_IBT != 0
}

/// Writes one PLT entry; see [`crate::Machine::write_plt_entry`].
pub(crate) fn write_plt_entry(out: &mut [u8], plt_entry: u64, got_entry: u64) -> bool {
    let mut marked = [
        0xf3, 0x0f, 0x1e, 0xfa, //             endbr64
        0xff, 0x25, 0, 0, 0, 0, //             jmp *got_entry(%rip)
        0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00, // nopw 0(%rax, %rax)
    ];
    let mut plain = [
        0xff, 0x25, 0, 0, 0, 0, // jmp *got_entry(%rip)
        0x66, 0x90, //             xchg %ax, %ax
    ];
    let is_marked = out.len() == marked.len();
    let (code, jump_end): (&mut [u8], usize) = match is_marked {
        true => (&mut marked, 10),
        false => (&mut plain, 6),
    };
    let displacement = got_entry.wrapping_sub(plt_entry.wrapping_add(jump_end as u64));
    let fits = Range::Signed(32).check(displacement).is_ok();
    Field::Word.write(&mut code[jump_end - 4..], displacement);
    out.copy_from_slice(code);
    fits
}

/// Writes one stub; see [`crate::Machine::write_stub`].
pub(crate) fn write_stub(out: &mut [u8; 16], stub: u64, slot: u64) -> bool {
    *out = [
        0xf3, 0x0f, 0x1e, 0xfa, //       endbr64
        0x4c, 0x8d, 0x1d, 0, 0, 0, 0, // lea slot(%rip), %r11
        0x41, 0xff, 0x23, //             jmp *(%r11)
        0xcc, 0xcc, //                   int3; int3
    ];
    let displacement = slot.wrapping_sub(stub.wrapping_add(11));
    Field::Word.write(&mut out[7..], displacement);
    Range::Signed(32).check(displacement).is_ok()
}

/// See [`crate::Machine::relax_got_load`]. psABI, "Optimize GOTPCRELX Relocations".
pub(crate) fn relax_got_load(
    relaxation: Relaxation,
    code: &mut [u8],
    offset: usize,
) -> Option<Relaxed> {
    if !relaxation.is_got_load() {
        return None;
    }
    let may_branch = relaxation == Relaxation::GotLoadOrBranch;
    let opcode_at = offset.checked_sub(2)?;
    let instruction = code.get_mut(opcode_at..offset.checked_add(4)?)?;
    let (opcode, mod_rm) = (instruction[0], instruction[1]);
    let relaxed_offset = match (opcode, mod_rm) {
        // mov foo@GOTPCREL(%rip), %reg  ->  lea foo(%rip), %reg
        (0x8b, mod_rm) if mod_rm & 0xc7 == 0x05 => {
            instruction[0] = 0x8d;
            offset
        }
        // call *foo@GOTPCREL(%rip)  ->  addr32 call foo
        (0xff, 0x15) if may_branch => {
            instruction[0] = 0x67;
            instruction[1] = 0xe8;
            offset
        }
        // jmp *foo@GOTPCREL(%rip)  ->  jmp foo; nop
        (0xff, 0x25) if may_branch => {
            instruction[0] = 0xe9;
            instruction[5] = 0x90;
            offset - 1
        }
        _ => return None,
    };
    let reloc = reloc(R_X86_64_PC32)?;
    Some(Relaxed {
        reloc,
        offset: relaxed_offset,
    })
}

/// Each hands the image's `__dso_handle` to the C library, so that it knows whose exit handlers
/// to run when the image is unloaded.
pub(crate) const RUNTIME_FUNCTIONS: &[RuntimeFunction] = &[
    RuntimeFunction {
        name: "atexit",
        code: &[
            0xf3, 0x0f, 0x1e, 0xfa, //                   endbr64
            0x31, 0xf6, //                               xor %esi, %esi
            0x48, 0x8d, 0x15, 0, 0, 0, 0, //             lea __dso_handle(%rip), %rdx
            0xe9, 0, 0, 0, 0, //                         jmp __cxa_atexit@PLT
        ],
        relocations: &[
            relocation(9, R_X86_64_PC32, "__dso_handle"),
            relocation(14, R_X86_64_PLT32, "__cxa_atexit"),
        ],
    },
    RuntimeFunction {
        name: "at_quick_exit",
        code: &[
            0xf3, 0x0f, 0x1e, 0xfa, //                   endbr64
            0x48, 0x8d, 0x35, 0, 0, 0, 0, //             lea __dso_handle(%rip), %rsi
            0xe9, 0, 0, 0, 0, //                         jmp __cxa_at_quick_exit@PLT
        ],
        relocations: &[
            relocation(7, R_X86_64_PC32, "__dso_handle"),
            relocation(12, R_X86_64_PLT32, "__cxa_at_quick_exit"),
        ],
    },
    RuntimeFunction {
        name: "pthread_atfork",
        code: &[
            0xf3, 0x0f, 0x1e, 0xfa, //                   endbr64
            0x48, 0x8d, 0x0d, 0, 0, 0, 0, //             lea __dso_handle(%rip), %rcx
            0xe9, 0, 0, 0, 0, //                         jmp __register_atfork@PLT
        ],
        relocations: &[
            relocation(7, R_X86_64_PC32, "__dso_handle"),
            relocation(12, R_X86_64_PLT32, "__register_atfork"),
        ],
    },
];

/// A relocation of a displacement at the end of its instruction.
const fn relocation(offset: u64, r_type: u32, symbol: &'static str) -> RuntimeRelocation {
    RuntimeRelocation {
        offset,
        r_type,
        symbol,
        addend: -4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_distinct_name_and_a_field_as_wide_as_its_range() {
        let mut names = std::collections::HashSet::new();
        for row in (0..64).filter_map(reloc) {
            assert!(names.insert(row.name), "{} twice", row.name);
            let bits = u32::try_from(row.field.size() * 8).unwrap();
            match row.range {
                Range::Any => assert!(bits == 0 || bits == 64, "{}", row.name),
                Range::Signed(n) | Range::Unsigned(n) | Range::Either(n) => {
                    assert_eq!(n, bits, "{}", row.name);
                }
                Range::Aligned(..) | Range::UnsignedAligned(..) | Range::Multiple(_) => {
                    unreachable!("{}", row.name)
                }
            }
        }
        assert_eq!(names.len(), 49);
    }

    #[test]
    fn every_row_takes_both_edges_of_its_field_and_nothing_past_them() {
        let narrow = |row: &Reloc| (1..8).contains(&row.field.size());
        for row in (0..64).filter_map(reloc).filter(narrow) {
            // psABI, "Relocation": what zero-extends, what sign-extends, and what may do either.
            let (low, high) = match row.name {
                "R_X86_64_8" => (-0x80, 0xff),
                "R_X86_64_PC8" => (-0x80, 0x7f),
                "R_X86_64_16" => (-0x8000, 0xffff),
                "R_X86_64_PC16" => (-0x8000, 0x7fff),
                "R_X86_64_32" | "R_X86_64_SIZE32" => (0, 0xffff_ffff),
                _ => (-0x8000_0000, 0x7fff_ffff_i64),
            };
            for edge in [low, high] {
                let value = edge.cast_unsigned();
                assert!(row.range.check(value).is_ok(), "{}: {edge:#x}", row.name);
                let mut place = [0xaa; 8];
                row.field.write(&mut place, value);
                let (written, rest) = place.split_at(row.field.size());
                assert_eq!(written, &value.to_le_bytes()[..written.len()]);
                assert!(rest.iter().all(|&byte| byte == 0xaa), "{}", row.name);
            }
            for past in [low - 1, high + 1] {
                let checked = row.range.check(past.cast_unsigned());
                assert!(checked.is_err(), "{}: {past:#x}", row.name);
            }
        }
    }

    #[test]
    fn a_stub_has_the_address_of_its_slot_and_jumps_through_it() {
        let mut stub = [0; 16];
        assert!(write_stub(&mut stub, 0x1000, 0x3000));
        assert_eq!(stub[4..11], [0x4c, 0x8d, 0x1d, 0xf5, 0x1f, 0, 0]);
        assert_eq!(stub[11..14], [0x41, 0xff, 0x23]);
        assert!(write_stub(&mut stub, 0x1000, 0x1000 + 11 + 0x7fff_ffff));
        assert!(!write_stub(&mut stub, 0x1000, 0x1000 + 11 + 0x8000_0000));
    }

    #[test]
    fn a_plt_entry_jumps_through_its_got_entry() {
        let mut entry = [0; 8];
        assert!(write_plt_entry(&mut entry, 0x1000, 0x3000));
        assert_eq!(entry, [0xff, 0x25, 0xfa, 0x1f, 0, 0, 0x66, 0x90]);
        let mut marked = [0; 16];
        assert!(write_plt_entry(&mut marked, 0x1000, 0x3000));
        assert_eq!(marked[4..10], [0xff, 0x25, 0xf6, 0x1f, 0, 0]);
        assert!(write_plt_entry(
            &mut entry,
            0x1000,
            0x1000 + 6 + 0x7fff_ffff
        ));
        assert!(!write_plt_entry(
            &mut entry,
            0x1000,
            0x1000 + 6 + 0x8000_0000
        ));
    }

    #[test]
    fn got_loads_relax_to_addresses_and_direct_branches() {
        let relax_as = |relaxation, bytes: &[u8]| {
            let mut code = bytes.to_vec();
            let relaxed = relax_got_load(relaxation, &mut code, bytes.len() - 4);
            (code, relaxed.map(|relaxed| relaxed.offset))
        };
        let relax = |bytes: &[u8]| relax_as(Relaxation::GotLoadOrBranch, bytes);
        assert_eq!(
            relax(&[0x48, 0x8b, 0x05, 0, 0, 0, 0]),
            (vec![0x48, 0x8d, 0x05, 0, 0, 0, 0], Some(3))
        );
        assert_eq!(
            relax(&[0xff, 0x15, 0, 0, 0, 0]),
            (vec![0x67, 0xe8, 0, 0, 0, 0], Some(2))
        );
        assert_eq!(
            relax(&[0xff, 0x25, 0, 0, 0, 0]),
            (vec![0xe9, 0x25, 0, 0, 0, 0x90], Some(1))
        );
        // cmp foo@GOTPCREL(%rip), %rax has no PC-relative form without the GOT.
        assert_eq!(relax(&[0x48, 0x3b, 0x05, 0, 0, 0, 0]).1, None);
        assert_eq!(relax(&[0, 0, 0, 0]).1, None);
        let load = |bytes: &[u8]| relax_as(Relaxation::GotLoad, bytes).1;
        assert_eq!(load(&[0xd5, 0x48, 0x8b, 0x05, 0, 0, 0, 0]), Some(4));
        assert_eq!(load(&[0xd5, 0x00, 0xff, 0x15, 0, 0, 0, 0]), None);
        assert_eq!(load(&[0xd5, 0x00, 0xff, 0x25, 0, 0, 0, 0]), None);
        let kept = relax_as(Relaxation::None, &[0x48, 0x8b, 0x05, 0, 0, 0, 0]);
        assert_eq!(kept.1, None);
    }
}
