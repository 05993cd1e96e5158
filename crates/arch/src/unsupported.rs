//! Machines that farcall has no table for, by name.

use std::fmt;

/// The ELF `e_machine` of a machine that [`Machine`](crate::Machine) does not have, in words.
///
/// ```
/// use farcall_arch::UnsupportedMachine;
///
/// let riscv = UnsupportedMachine(243).to_string();
/// assert_eq!(riscv, "RISC-V (e_machine 243), which is not supported");
/// assert_eq!(UnsupportedMachine(57005).to_string(), "an unknown machine (e_machine 57005)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsupportedMachine(pub u16);

impl UnsupportedMachine {
    /// gABI, "ELF Header", `e_machine`; for machines that LLVM makes code for.
    const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            3 => "x86",
            8 => "MIPS",
            20 => "PowerPC",
            21 => "64-bit PowerPC",
            22 => "S/390",
            40 => "32-bit ARM",
            43 => "SPARC V9",
            224 => "AMD GPU",
            243 => "RISC-V",
            247 => "BPF",
            258 => "LoongArch",
            _ => return None,
        })
    }
}

impl fmt::Display for UnsupportedMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(e_machine) = self;
        match self.name() {
            Some(name) => write!(f, "{name} (e_machine {e_machine}), which is not supported"),
            None => write!(f, "an unknown machine (e_machine {e_machine})"),
        }
    }
}
