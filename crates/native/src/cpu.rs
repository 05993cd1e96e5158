//! Asking the processor what it has.

use farcall_arch::CpuFeatures;

/// What this processor has and the system lets programs use.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn features() -> CpuFeatures {
    use std::arch::x86_64::{__cpuid_count, _xgetbv};
    let cpuid = |leaf, subleaf| {
        let registers = __cpuid_count(leaf, subleaf);
        [registers.eax, registers.ebx, registers.ecx, registers.edx]
    };
    // SAFETY: asked for only when CPUID says that the system has made `xgetbv` usable; register 0 is always there.
    farcall_arch::detect_x86_64(cpuid, || unsafe { _xgetbv(0) })
}

/// What this processor has and the system lets programs use.
#[cfg(target_arch = "aarch64")]
#[must_use]
pub fn features() -> CpuFeatures {
    let (hwcap, hwcap2) = rustix::param::linux_hwcap();
    farcall_arch::detect_aarch64(hwcap as u64, hwcap2 as u64)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::arch::is_x86_feature_detected;

    use farcall_arch::Machine;

    /// What the standard library can tell it tells too.
    #[test]
    fn as_the_standard_library_says() {
        let found = super::features();
        let names: Vec<_> = Machine::X86_64.cpu_feature_names(found).collect();
        macro_rules! compare {
            ($($name:literal is $std:tt,)*) => {
                $(assert_eq!(names.contains(&$name), is_x86_feature_detected!($std), $name);)*
            };
        }
        compare! {
            "adx" is "adx", "aes" is "aes", "avx" is "avx", "avx2" is "avx2", "avx512bf16" is "avx512bf16",
            "avx512bitalg" is "avx512bitalg", "avx512bw" is "avx512bw", "avx512cd" is "avx512cd",
            "avx512dq" is "avx512dq", "avx512f" is "avx512f", "avx512fp16" is "avx512fp16",
            "avx512ifma" is "avx512ifma", "avx512vbmi" is "avx512vbmi", "avx512vbmi2" is "avx512vbmi2",
            "avx512vl" is "avx512vl", "avx512vnni" is "avx512vnni", "avx512vp2intersect" is "avx512vp2intersect",
            "avx512vpopcntdq" is "avx512vpopcntdq", "avxifma" is "avxifma", "avxneconvert" is "avxneconvert",
            "avxvnni" is "avxvnni", "avxvnniint16" is "avxvnniint16", "avxvnniint8" is "avxvnniint8",
            "bmi" is "bmi1", "bmi2" is "bmi2", "cx16" is "cmpxchg16b", "f16c" is "f16c", "fma" is "fma",
            "gfni" is "gfni", "lzcnt" is "lzcnt", "movbe" is "movbe", "pclmul" is "pclmulqdq",
            "popcnt" is "popcnt", "rdrnd" is "rdrand", "rdseed" is "rdseed", "rtm" is "rtm", "sha" is "sha",
            "sha512" is "sha512", "sm3" is "sm3", "sm4" is "sm4", "sse3" is "sse3", "sse4.1" is "sse4.1",
            "sse4.2" is "sse4.2", "sse4a" is "sse4a", "ssse3" is "ssse3", "tbm" is "tbm", "vaes" is "vaes",
            "vpclmulqdq" is "vpclmulqdq", "xsave" is "xsave", "xsavec" is "xsavec", "xsaveopt" is "xsaveopt",
        }
    }
}
