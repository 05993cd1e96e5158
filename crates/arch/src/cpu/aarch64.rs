//! AArch64: where the system says what a processor has.
//!
//! Source: Linux, "ARM64 ELF hwcaps"; which instructions a bit stands for: Arm ARM, "ID_AA64ISAR0_EL1" and
//! its neighbours. The names are those of LLVM 22. Only the system can read the registers, and it
//! leaves out what it does not let programs use.
//!
//! Left out, by the rule at the head of `mod.rs`: `bti`, whose landing pads do nothing elsewhere; `ssbs`, a switch that
//! no code needs and that Linux hides on processors where it is faulty; and what is the system's (`pan`, `ras`, `vh`, …).

use super::CpuFeatures;

/// A feature, and the bits of `AT_HWCAP` and `AT_HWCAP2` that it takes.
pub(super) struct Feature {
    pub(super) name: &'static str,
    hwcap: u64,
    hwcap2: u64,
}

const fn one(name: &'static str, bits: &[u32]) -> Feature {
    Feature {
        name,
        hwcap: mask(bits),
        hwcap2: 0,
    }
}

const fn two(name: &'static str, bits: &[u32]) -> Feature {
    Feature {
        name,
        hwcap: 0,
        hwcap2: mask(bits),
    }
}

const fn mask(bits: &[u32]) -> u64 {
    let mut mask = 0;
    let mut index = 0;
    while index < bits.len() {
        mask |= 1 << bits[index];
        index += 1;
    }
    mask
}

/// By number: new ones come last.
#[rustfmt::skip]
pub(super) static FEATURES: &[Feature] = &[
    one("aes",          &[3, 4]),   // AES, PMULL
    two("altnzcv",      &[7]),      // FLAGM2
    two("bf16",         &[14]),     // BF16
    two("ccdp",         &[0]),      // DCPODP
    one("ccpp",         &[16]),     // DCPOP
    one("complxnum",    &[14]),     // FCMA
    one("crc",          &[7]),      // CRC32
    two("cssc",         &[34]),     // CSSC
    one("dit",          &[24]),     // DIT
    one("dotprod",      &[20]),     // ASIMDDP
    two("f32mm",        &[10]),     // SVEF32MM
    two("f64mm",        &[11]),     // SVEF64MM
    two("faminmax",     &[50]),     // FAMINMAX
    one("flagm",        &[27]),     // FLAGM
    one("fp16fml",      &[23]),     // ASIMDFHM
    two("fp8",          &[51]),     // F8CVT
    two("fptoint",      &[8]),      // FRINT
    one("fullfp16",     &[9, 10]),  // FPHP, ASIMDHP
    two("hbc",          &[44]),     // HBC
    two("i8mm",         &[13]),     // I8MM
    one("jsconv",       &[13]),     // JSCVT
    one("lse",          &[8]),      // ATOMICS
    two("lse128",       &[47]),     // LSE128
    one("lse2",         &[25]),     // USCAT
    two("lut",          &[49]),     // LUT
    two("mops",         &[43]),     // MOPS
    two("mte",          &[18]),     // MTE
    one("pauth",        &[30, 31]), // PACA, PACG
    two("rand",         &[16]),     // RNG
    one("rcpc",         &[15]),     // LRCPC
    one("rcpc-immo",    &[26]),     // ILRCPC
    two("rcpc3",        &[46]),     // LRCPC3
    one("rdm",          &[12]),     // ASIMDRDM
    one("sb",           &[29]),     // SB
    one("sha2",         &[5, 6]),   // SHA1, SHA2
    one("sha3",         &[17, 21]), // SHA3, SHA512
    one("sm4",          &[18, 19]), // SM3, SM4
    two("sme",          &[23]),     // SME
    two("sme-f64f64",   &[25]),     // SME_F64F64
    two("sme-fa64",     &[30]),     // SME_FA64
    two("sme-i16i64",   &[24]),     // SME_I16I64
    two("sme2",         &[37]),     // SME2
    one("sve",          &[22]),     // SVE
    two("sve-aes",      &[2, 3]),   // SVEAES, SVEPMULL
    two("sve-bitperm",  &[4]),      // SVEBITPERM
    two("sve-sha3",     &[5]),      // SVESHA3
    two("sve-sm4",      &[6]),      // SVESM4
    two("sve2",         &[1]),      // SVE2
    two("sve2p1",       &[36]),     // SVE2P1
    two("wfxt",         &[31]),     // WFXT
];

/// What a processor has, by the words `AT_HWCAP` and `AT_HWCAP2` of the auxiliary vector.
#[must_use]
pub fn detect(hwcap: u64, hwcap2: u64) -> CpuFeatures {
    let has = |row: &Feature| hwcap & row.hwcap == row.hwcap && hwcap2 & row.hwcap2 == row.hwcap2;
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
        Machine::Aarch64.cpu_feature_names(features).collect()
    }

    #[test]
    fn all_bits_of_a_feature_are_wanted() {
        assert_eq!(names(detect(0, 0)), [""; 0]);
        assert_eq!(names(detect(u64::MAX, u64::MAX)).len(), FEATURES.len());
        assert_eq!(names(detect(1 << 22, 0)), ["sve"]);
        assert_eq!(names(detect(1 << 22, 1 << 1)), ["sve", "sve2"]);
        assert_eq!(names(detect(1 << 9, 0)), [""; 0]);
        assert_eq!(names(detect(1 << 9 | 1 << 10, 0)), ["fullfp16"]);
    }
}
