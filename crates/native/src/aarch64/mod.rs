//! AArch64.

use std::sync::OnceLock;

pub(crate) mod calls;
pub mod code;

/// What the code that chooses an indirect function is given: the processor's features.
///
/// Source: "System V ABI for the Arm 64-bit Architecture", "GNU C Library IFUNC interface", in which a bit of
/// the first argument says that there is a second, a structure that starts with its size.
#[must_use]
pub fn resolver_arguments() -> [u64; 3] {
    const HAS_SECOND: u64 = 1 << 62;
    #[repr(C)]
    struct Second {
        size: u64,
        hwcap: u64,
        hwcap2: u64,
    }
    static SECOND: OnceLock<Second> = OnceLock::new();
    let second = SECOND.get_or_init(|| {
        let (hwcap, hwcap2) = rustix::param::linux_hwcap();
        Second {
            size: size_of::<Second>() as u64,
            hwcap: hwcap as u64,
            hwcap2: hwcap2 as u64,
        }
    });
    let address = (&raw const *second).expose_provenance() as u64;
    [second.hwcap | HAS_SECOND, address, 0]
}
