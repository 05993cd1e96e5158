//! x86-64: what LLVM 22 calls its processors and their features.
//!
//! LLVM's C interface cannot be asked whether it knows a name; given an unknown one it prints a warning and goes on
//! without. So the names stand here, and a test compares them to `llc -mcpu=help`.

/// Processors that run 64-bit code. LLVM ends the process when 64-bit code is asked of any other.
#[rustfmt::skip]
pub(crate) const CPUS: &[&str] = &[
    "alderlake", "amdfam10", "arrowlake", "arrowlake-s", "arrowlake_s", "athlon-fx", "athlon64", "athlon64-sse3",
    "atom", "atom_sse4_2", "atom_sse4_2_movbe", "barcelona", "bdver1", "bdver2", "bdver3", "bdver4", "bonnell",
    "broadwell", "btver1", "btver2", "cannonlake", "cascadelake", "clearwaterforest", "cooperlake", "core-avx-i",
    "core-avx2", "core2", "core_2_duo_sse4_1", "core_2_duo_ssse3", "core_2nd_gen_avx", "core_3rd_gen_avx",
    "core_4th_gen_avx", "core_4th_gen_avx_tsx", "core_5th_gen_avx", "core_5th_gen_avx_tsx", "core_aes_pclmulqdq",
    "core_i7_sse4_2", "corei7", "corei7-avx", "diamondrapids", "emeraldrapids", "generic", "goldmont",
    "goldmont-plus", "goldmont_plus", "gracemont", "grandridge", "graniterapids", "graniterapids-d",
    "graniterapids_d", "haswell", "icelake-client", "icelake-server", "icelake_client", "icelake_server",
    "ivybridge", "k8", "k8-sse3", "knl", "knm", "lunarlake", "meteorlake", "mic_avx512", "nehalem", "nocona",
    "novalake", "opteron", "opteron-sse3", "pantherlake", "penryn", "raptorlake", "rocketlake", "sandybridge",
    "sapphirerapids", "sierraforest", "silvermont", "skx", "skylake", "skylake-avx512", "skylake_avx512", "slm",
    "tigerlake", "tremont", "westmere", "wildcatlake", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "znver1",
    "znver2", "znver3", "znver4", "znver5",
];

/// Features that code may need and that some processors lack; the object records them. What is left out is said in
/// `farcall-arch`, which has the same names, and a test of `farcall` compares both.
#[rustfmt::skip]
pub(crate) const INSTRUCTION_SETS: &[&str] = &[
    "adx", "aes", "amx-avx512", "amx-bf16", "amx-complex", "amx-fp16", "amx-fp8", "amx-int8", "amx-movrs",
    "amx-tf32", "amx-tile", "avx", "avx10.1", "avx10.2", "avx2", "avx512bf16", "avx512bitalg", "avx512bw",
    "avx512cd", "avx512dq", "avx512f", "avx512fp16", "avx512ifma", "avx512vbmi", "avx512vbmi2", "avx512vl",
    "avx512vnni", "avx512vp2intersect", "avx512vpopcntdq", "avxifma", "avxneconvert", "avxvnni", "avxvnniint16",
    "avxvnniint8", "bmi", "bmi2", "ccmp", "cf", "clflushopt", "clwb", "clzero", "cmpccxadd", "crc32", "cx16",
    "egpr", "f16c", "fma", "fma4", "fsgsbase", "gfni", "lwp", "lzcnt", "movbe", "movdir64b", "movdiri", "movrs",
    "mwaitx", "ndd", "nf", "pclmul", "popcnt", "ppx", "ptwrite", "push2pop2", "raoint", "rdpid", "rdpru", "rdrnd",
    "rdseed", "rtm", "sahf", "serialize", "sha", "sha512", "sm3", "sm4", "sse3", "sse4.1", "sse4.2", "sse4a",
    "ssse3", "tbm", "tsxldtrk", "vaes", "vpclmulqdq", "waitpkg", "xop", "xsave", "xsavec", "xsaveopt", "zu",
];

/// The other features that may be switched on and off: the baseline's, what is fast or slow, how code is to be made, and
/// what runs or is of no use without asking the system. The processor's mode is not among them: see [`MODE_CHANGES`].
#[rustfmt::skip]
pub(crate) const OTHER_FEATURES: &[&str] = &[
    "allow-light-256-bit", "avx10.1-512", "avx10.2-512", "branch-hint", "branchfusion", "cldemote", "cmov", "cx8",
    "enqcmd", "ermsb", "evex512", "false-deps-getmant", "false-deps-lzcnt-tzcnt", "false-deps-mulc",
    "false-deps-mullq", "false-deps-perm", "false-deps-popcnt", "false-deps-range", "fast-11bytenop",
    "fast-15bytenop", "fast-7bytenop", "fast-bextr", "fast-dpwssd", "fast-gather", "fast-hops", "fast-imm16",
    "fast-lzcnt", "fast-movbe", "fast-scalar-fsqrt", "fast-scalar-shift-masks", "fast-shld-rotate",
    "fast-variable-crosslane-shuffle", "fast-variable-perlane-shuffle", "fast-vector-fsqrt",
    "fast-vector-shift-masks", "faster-shift-than-shuffle", "fsrm", "fxsr", "harden-sls-ijmp", "harden-sls-ret",
    "hreset", "idivl-to-divb", "idivq-to-divl", "inline-asm-use-gpr32", "invpcid", "kl", "lea-sp", "lea-uses-ag",
    "lvi-cfi", "lvi-load-hardening", "macrofusion", "mmx", "no-bypass-delay", "no-bypass-delay-blend",
    "no-bypass-delay-mov", "no-bypass-delay-shuffle", "nopl", "pad-short-functions", "pconfig", "pku",
    "prefer-128-bit", "prefer-256-bit", "prefer-legacy-setcc", "prefer-mask-registers", "prefer-movmsk-over-vtest",
    "prefer-no-gather", "prefer-no-scatter", "prefetchi", "prfchw", "retpoline", "retpoline-external-thunk",
    "retpoline-indirect-branches", "retpoline-indirect-calls", "sbb-dep-breaking", "seses", "sgx", "shstk",
    "slow-3ops-lea", "slow-incdec", "slow-lea", "slow-pmaddwd", "slow-pmulld", "slow-pmullq", "slow-shld",
    "slow-two-mem-ops", "slow-unaligned-mem-16", "slow-unaligned-mem-32", "soft-float", "sse", "sse-unaligned-mem",
    "sse2", "tagged-globals", "tuning-fast-imm-vector-shift", "uintr", "use-glm-div-sqrt-costs",
    "use-slm-arith-costs", "usermsr", "vzeroupper", "wbnoinvd", "widekl", "x32", "x87", "xsaves",
];

/// What LLVM lists as features and is the machine itself, with the sign that would make it another machine. LLVM ends the
/// process when a function does that.
pub(crate) const MODE_CHANGES: &[&str] = &["+16bit-mode", "+32bit-mode", "-64bit", "-64bit-mode"];

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::target::tests::names_of_llvm;

    #[test]
    fn names_are_those_of_llvm() {
        let Some((cpus, theirs)) = names_of_llvm("x86_64") else {
            return;
        };
        let mut ours: Vec<&str> = [INSTRUCTION_SETS, OTHER_FEATURES].concat();
        ours.extend(MODE_CHANGES.iter().map(|change| &change[1..]));
        ours.sort_unstable();
        assert_eq!(ours, theirs);

        assert!(CPUS.iter().all(|cpu| cpus.iter().any(|name| name == cpu)));
        for cpu in cpus {
            let mut llc = Command::new("llc-22");
            llc.args([
                "-mtriple=x86_64-linux-gnu",
                "-filetype=null",
                &format!("-mcpu={cpu}"),
                "-o",
                "/dev/null",
            ]);
            let output = llc
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ir/tiny.ll"))
                .output()
                .unwrap();
            let runs_64_bit_code = output.status.success() && output.stderr.is_empty();
            assert_eq!(CPUS.contains(&cpu.as_str()), runs_64_bit_code, "{cpu}");
        }
    }
}
