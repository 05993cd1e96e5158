//! Asking the processor what it has.

use farcall_arch::CpuFeatures;

/// What this processor has and the system lets programs use.
#[cfg(target_arch = "x86_64")]
pub(crate) fn features() -> CpuFeatures {
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
pub(crate) fn features() -> CpuFeatures {
    let (hwcap, hwcap2) = rustix::param::linux_hwcap();
    farcall_arch::detect_aarch64(hwcap as u64, hwcap2 as u64)
}
