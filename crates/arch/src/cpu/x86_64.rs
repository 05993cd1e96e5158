//! x86-64: where CPUID says what a processor has.
//!
//! Source: Intel 64 and IA-32 SDM, volume 2, "CPUID"; AMD64 APM, volume 3, appendix E; levels: x86-64 psABI,
//! "Low Level System Information", table "Micro-Architecture Levels". The names are those of LLVM 22.
//!
//! Left out, by the rule at the head of `mod.rs`: `prfchw`, which every processor with 64-bit mode takes (APM,
//! "PREFETCHW"); `cldemote`, `prefetchi` and `branch-hint`, which do nothing elsewhere; `hreset`, `invpcid`,
//! `pconfig`, `wbnoinvd` and `xsaves`, which are the system's; `enqcmd`, `kl`, `pku`, `sgx`, `shstk`, `uintr`,
//! `usermsr` and `widekl`, which code cannot use before the system has set something up for it.

use super::{CpuFeatures, CpuLevel};

/// A feature: a field of CPUID that says whether the processor has it, and what the system must have enabled.
pub(super) struct Feature {
    pub(super) name: &'static str,
    /// The first level that has it; 0 when none has.
    level: u8,
    /// An index of [`LEAVES`].
    leaf: usize,
    register: Register,
    field: Field,
    /// Bits of XCR0 that must be set.
    state: u64,
}

#[derive(Clone, Copy)]
enum Register {
    Eax,
    Ebx,
    Ecx,
    Edx,
}
use Register::{Eax, Ebx, Ecx, Edx};

#[derive(Clone, Copy)]
enum Field {
    Bit(u32),
    /// The lowest byte is a version, and this one or a later one has the feature.
    Version(u32),
}

/// The leaves and their subleaves that are asked.
const LEAVES: [(u32, u32); 10] = [
    (0x1, 0),
    (0x7, 0),
    (0x7, 1),
    (0xd, 1),
    (0x14, 0),
    (0x19, 0),
    (0x1e, 1),
    (0x24, 0),
    (0x8000_0001, 0),
    (0x8000_0008, 0),
];
const BASIC: usize = 0;
const SEVEN: usize = 1;
const SEVEN_ONE: usize = 2;
const XSAVE: usize = 3;
const TRACE: usize = 4;
const TMUL: usize = 6;
const AVX10: usize = 7;
const EXTENDED: usize = 8;
const EXTENDED_EIGHT: usize = 9;

/// State that the system must save: XCR0, by what needs it.
const NO: u64 = 0;
const YMM: u64 = 0x6;
const ZMM: u64 = 0xe6;
const TILES: u64 = 0x6_0000;
const EGPR: u64 = 0x8_0000;

const fn row(
    name: &'static str,
    level: u8,
    leaf: usize,
    register: Register,
    bit: u32,
    state: u64,
) -> Feature {
    Feature {
        name,
        level,
        leaf,
        register,
        field: Field::Bit(bit),
        state,
    }
}

/// By number: new ones come last.
#[rustfmt::skip]
pub(super) static FEATURES: &[Feature] = &[
    row("adx",                0, SEVEN,          Ebx, 19, NO),
    row("aes",                0, BASIC,          Ecx, 25, NO),
    row("amx-avx512",         0, TMUL,           Eax,  7, TILES),
    row("amx-bf16",           0, SEVEN,          Edx, 22, TILES),
    row("amx-complex",        0, SEVEN_ONE,      Edx,  8, TILES),
    row("amx-fp16",           0, SEVEN_ONE,      Eax, 21, TILES),
    row("amx-fp8",            0, TMUL,           Eax,  4, TILES),
    row("amx-int8",           0, SEVEN,          Edx, 25, TILES),
    row("amx-movrs",          0, TMUL,           Eax,  8, TILES),
    row("amx-tf32",           0, TMUL,           Eax,  6, TILES),
    row("amx-tile",           0, SEVEN,          Edx, 24, TILES),
    row("avx",                3, BASIC,          Ecx, 28, YMM),
    row("avx10.1",            0, SEVEN_ONE,      Edx, 19, ZMM),
    Feature { name: "avx10.2", level: 0, leaf: AVX10, register: Ebx, field: Field::Version(2), state: ZMM },
    row("avx2",               3, SEVEN,          Ebx,  5, YMM),
    row("avx512bf16",         0, SEVEN_ONE,      Eax,  5, ZMM),
    row("avx512bitalg",       0, SEVEN,          Ecx, 12, ZMM),
    row("avx512bw",           4, SEVEN,          Ebx, 30, ZMM),
    row("avx512cd",           4, SEVEN,          Ebx, 28, ZMM),
    row("avx512dq",           4, SEVEN,          Ebx, 17, ZMM),
    row("avx512f",            4, SEVEN,          Ebx, 16, ZMM),
    row("avx512fp16",         0, SEVEN,          Edx, 23, ZMM),
    row("avx512ifma",         0, SEVEN,          Ebx, 21, ZMM),
    row("avx512vbmi",         0, SEVEN,          Ecx,  1, ZMM),
    row("avx512vbmi2",        0, SEVEN,          Ecx,  6, ZMM),
    row("avx512vl",           4, SEVEN,          Ebx, 31, ZMM),
    row("avx512vnni",         0, SEVEN,          Ecx, 11, ZMM),
    row("avx512vp2intersect", 0, SEVEN,          Edx,  8, ZMM),
    row("avx512vpopcntdq",    0, SEVEN,          Ecx, 14, ZMM),
    row("avxifma",            0, SEVEN_ONE,      Eax, 23, YMM),
    row("avxneconvert",       0, SEVEN_ONE,      Edx,  5, YMM),
    row("avxvnni",            0, SEVEN_ONE,      Eax,  4, YMM),
    row("avxvnniint16",       0, SEVEN_ONE,      Edx, 10, YMM),
    row("avxvnniint8",        0, SEVEN_ONE,      Edx,  4, YMM),
    row("bmi",                3, SEVEN,          Ebx,  3, NO),
    row("bmi2",               3, SEVEN,          Ebx,  8, NO),
    row("ccmp",               0, SEVEN_ONE,      Edx, 21, EGPR),
    row("cf",                 0, SEVEN_ONE,      Edx, 21, EGPR),
    row("clflushopt",         0, SEVEN,          Ebx, 23, NO),
    row("clwb",               0, SEVEN,          Ebx, 24, NO),
    row("clzero",             0, EXTENDED_EIGHT, Ebx,  0, NO),
    row("cmpccxadd",          0, SEVEN_ONE,      Eax,  7, NO),
    row("crc32",              2, BASIC,          Ecx, 20, NO),
    row("cx16",               2, BASIC,          Ecx, 13, NO),
    row("egpr",               0, SEVEN_ONE,      Edx, 21, EGPR),
    row("f16c",               3, BASIC,          Ecx, 29, YMM),
    row("fma",                3, BASIC,          Ecx, 12, YMM),
    row("fma4",               0, EXTENDED,       Ecx, 16, YMM),
    row("fsgsbase",           0, SEVEN,          Ebx,  0, NO),
    row("gfni",               0, SEVEN,          Ecx,  8, NO),
    row("lwp",                0, EXTENDED,       Ecx, 15, NO),
    row("lzcnt",              3, EXTENDED,       Ecx,  5, NO),
    row("movbe",              3, BASIC,          Ecx, 22, NO),
    row("movdir64b",          0, SEVEN,          Ecx, 28, NO),
    row("movdiri",            0, SEVEN,          Ecx, 27, NO),
    row("movrs",              0, SEVEN_ONE,      Eax, 31, NO),
    row("mwaitx",             0, EXTENDED,       Ecx, 29, NO),
    row("ndd",                0, SEVEN_ONE,      Edx, 21, EGPR),
    row("nf",                 0, SEVEN_ONE,      Edx, 21, EGPR),
    row("pclmul",             0, BASIC,          Ecx,  1, NO),
    row("popcnt",             2, BASIC,          Ecx, 23, NO),
    row("ppx",                0, SEVEN_ONE,      Edx, 21, EGPR),
    row("ptwrite",            0, TRACE,          Ebx,  4, NO),
    row("push2pop2",          0, SEVEN_ONE,      Edx, 21, EGPR),
    row("raoint",             0, SEVEN_ONE,      Eax,  3, NO),
    row("rdpid",              0, SEVEN,          Ecx, 22, NO),
    row("rdpru",              0, EXTENDED_EIGHT, Ebx,  4, NO),
    row("rdrnd",              0, BASIC,          Ecx, 30, NO),
    row("rdseed",             0, SEVEN,          Ebx, 18, NO),
    row("rtm",                0, SEVEN,          Ebx, 11, NO),
    row("sahf",               2, EXTENDED,       Ecx,  0, NO),
    row("serialize",          0, SEVEN,          Edx, 14, NO),
    row("sha",                0, SEVEN,          Ebx, 29, NO),
    row("sha512",             0, SEVEN_ONE,      Eax,  0, YMM),
    row("sm3",                0, SEVEN_ONE,      Eax,  1, YMM),
    row("sm4",                0, SEVEN_ONE,      Eax,  2, YMM),
    row("sse3",               2, BASIC,          Ecx,  0, NO),
    row("sse4.1",             2, BASIC,          Ecx, 19, NO),
    row("sse4.2",             2, BASIC,          Ecx, 20, NO),
    row("sse4a",              0, EXTENDED,       Ecx,  6, NO),
    row("ssse3",              2, BASIC,          Ecx,  9, NO),
    row("tbm",                0, EXTENDED,       Ecx, 21, NO),
    row("tsxldtrk",           0, SEVEN,          Edx, 16, NO),
    row("vaes",               0, SEVEN,          Ecx,  9, YMM),
    row("vpclmulqdq",         0, SEVEN,          Ecx, 10, YMM),
    row("waitpkg",            0, SEVEN,          Ecx,  5, NO),
    row("xop",                0, EXTENDED,       Ecx, 11, YMM),
    // Whether the system has enabled it, which says that the processor has it.
    row("xsave",              3, BASIC,          Ecx, 27, NO),
    row("xsavec",             0, XSAVE,          Eax,  1, NO),
    row("xsaveopt",           0, XSAVE,          Eax,  0, NO),
    row("zu",                 0, SEVEN_ONE,      Edx, 21, EGPR),
];

pub(super) static LEVELS: [CpuLevel; 3] = [
    level("x86-64-v2", 2),
    level("x86-64-v3", 3),
    level("x86-64-v4", 4),
];

const fn level(name: &'static str, number: u8) -> CpuLevel {
    let mut features = CpuFeatures::NONE;
    let mut index = 0;
    while index < FEATURES.len() {
        let first = FEATURES[index].level;
        if first != 0 && first <= number {
            features = features.union(CpuFeatures::row(index));
        }
        index += 1;
    }
    CpuLevel { name, features }
}

/// See [`crate::Machine::cpu_features_of_property`]. psABI, "Program Property", `GNU_PROPERTY_X86_ISA_1_NEEDED`: a bit for
/// each level, the baseline's first.
pub(super) fn of_property(property: u32, value: u32) -> Option<CpuFeatures> {
    const ISA_1_NEEDED: u32 = 0xc000_8002;
    if property != ISA_1_NEEDED {
        return None;
    }
    let needed = (1..).zip(&LEVELS).filter(|(bit, _)| value >> bit & 1 != 0);
    Some(needed.fold(CpuFeatures::NONE, |all, (_, level)| {
        all.union(level.features)
    }))
}

/// What a processor has, by its CPUID and by the state that its system saves.
///
/// `cpuid` gives EAX, EBX, ECX and EDX for a leaf and a subleaf; `xcr0` is asked when CPUID says that it can be read.
pub fn detect(
    mut cpuid: impl FnMut(u32, u32) -> [u32; 4],
    xcr0: impl FnOnce() -> u64,
) -> CpuFeatures {
    let highest = [cpuid(0, 0)[0], cpuid(0x8000_0000, 0)[0]];
    // A processor answers for a leaf that it does not have with what is in another.
    let leaves = LEAVES.map(|(leaf, subleaf)| {
        let highest = highest[usize::from(leaf >= 0x8000_0000)];
        if leaf <= highest {
            cpuid(leaf, subleaf)
        } else {
            [0; 4]
        }
    });
    const OSXSAVE: u32 = 1 << 27;
    let saved = if leaves[BASIC][Ecx as usize] & OSXSAVE != 0 {
        xcr0()
    } else {
        0
    };
    let has = |feature: &Feature| {
        let register = leaves[feature.leaf][feature.register as usize];
        let is_there = match feature.field {
            Field::Bit(bit) => register >> bit & 1 != 0,
            Field::Version(version) => register & 0xff >= version,
        };
        is_there && saved & feature.state == feature.state
    };
    let rows = FEATURES.iter().enumerate().filter(|(_, row)| has(row));
    rows.fold(CpuFeatures::NONE, |all, (index, _)| {
        all.union(CpuFeatures::row(index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    fn names(features: CpuFeatures) -> Vec<&'static str> {
        Machine::X86_64.cpu_feature_names(features).collect()
    }

    /// A processor that says yes to all.
    fn full(leaf: u32, _: u32) -> [u32; 4] {
        match leaf {
            0 => [0x24, 0, 0, 0],
            0x8000_0000 => [0x8000_0008, 0, 0, 0],
            _ => [u32::MAX; 4],
        }
    }

    #[test]
    fn the_system_must_save_what_they_use() {
        let with = |xcr0| names(detect(full, || xcr0));
        assert_eq!(with(u64::MAX).len(), FEATURES.len());
        let few = with(0);
        assert!(few.contains(&"sse4.2") && few.contains(&"bmi2"));
        assert!(!few.iter().any(|name| name.starts_with("avx")), "{few:?}");
        let ymm = with(0x7);
        assert!(ymm.contains(&"avx2") && !ymm.contains(&"avx512f"));
        let zmm = with(0xe7);
        assert!(zmm.contains(&"avx512f") && !zmm.contains(&"amx-tile") && !zmm.contains(&"egpr"));
        // A mask of which the system saves a part only.
        assert!(!with(0xa7).contains(&"avx512f"));
    }

    #[test]
    fn an_old_processor_is_not_asked_for_new_leaves() {
        let old = |leaf: u32, _: u32| match leaf {
            0 => [1, 0, 0, 0],
            1 => [0, 0, 1, 0],
            0x8000_0000 => [0x8000_0000, 0, 0, 0],
            _ => panic!("leaf {leaf:#x} does not exist"),
        };
        let features = detect(old, || panic!("XGETBV does not exist"));
        assert_eq!(names(features), ["sse3"]);
    }

    #[test]
    fn versions_of_avx10() {
        let version = |version: u32| {
            let cpuid = move |leaf: u32, subleaf| match leaf {
                0x24 => [0, version, 0, 0],
                _ => full(leaf, subleaf),
            };
            names(detect(cpuid, || u64::MAX)).contains(&"avx10.2")
        };
        assert_eq!([1, 2, 3, 4].map(version), [false, true, true, true]);
    }

    #[test]
    fn properties_name_levels() {
        let of = |value| of_property(0xc000_8002, value).unwrap();
        assert!(of(1).is_empty());
        assert_eq!(of(2), LEVELS[0].features);
        assert_eq!(of(0b1001), LEVELS[2].features);
        assert_eq!(
            of_property(0xc001_0002, 8),
            None,
            "what is used, not what is needed"
        );
    }

    #[test]
    fn levels_are_those_of_the_psabi() {
        let of = |index: usize| names(LEVELS[index].features);
        // CMPXCHG16B, LAHF-SAHF, POPCNT, SSE3, SSE4_1, SSE4_2 (of which LLVM tells CRC32 apart), SSSE3.
        assert_eq!(
            of(0),
            [
                "crc32", "cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"
            ]
        );
        let added =
            |index: usize| names(LEVELS[index].features.without(LEVELS[index - 1].features));
        // AVX, AVX2, BMI1, BMI2, F16C, FMA, LZCNT, MOVBE, OSXSAVE.
        assert_eq!(
            added(1),
            [
                "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"
            ]
        );
        assert_eq!(
            added(2),
            ["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"]
        );
    }
}
