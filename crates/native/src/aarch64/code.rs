//! Bytes that become code on AArch64: processors do not keep their instruction caches in step with what is
//! written.

use std::arch::asm;

use rustix::io::Errno;
use rustix::thread::{MembarrierCommand, membarrier};

/// The code of two functions: one that gives 1, one that gives 2.
pub const GIVES: [[u8; 8]; 2] = [
    [0x20, 0x00, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6], // mov w0, #1; ret
    [0x40, 0x00, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6], // mov w0, #2; ret
];

/// Whether [`publish`] does anything.
pub const IS_PUBLISHED: bool = true;

/// Makes all processors see as code what has been written.
///
/// The bytes go from the data cache to where instruction caches read, by the address at which they were
/// written; instruction caches forget what they had, by the address at which it runs: they may be
/// indexed by that. Both reach all processors, but each may have fetched old bytes already and goes on with
/// them until it has synchronised its context; so the system is asked to have all do that which run this
/// process. Source: Arm Architecture Reference Manual for A-profile, "Concurrent modification and execution
/// of instructions", and "CTR_EL0" for the sizes of lines and for processors that need less.
///
/// # Safety
///
/// The bytes are readable at both addresses.
pub unsafe fn publish(written: *const u8, executed: *const u8, length: usize) {
    /// The bits that say that a processor needs no cleaning of data, no invalidation of instructions.
    const IDC: u64 = 1 << 28;
    const DIC: u64 = 1 << 29;
    let cache_type: u64;
    // SAFETY: reads a register that the system lets programs read.
    unsafe {
        asm!("mrs {}, ctr_el0", out(reg) cache_type, options(nomem, nostack, preserves_flags));
    }
    // Each is the logarithm of a line's length in words.
    let line = |shift: u32| 4_usize << (cache_type >> shift & 0xf);
    if cache_type & IDC == 0 {
        for address in lines(written, length, line(16)) {
            // SAFETY: the caller's contract; the data stays as it is.
            unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
        }
    }
    // SAFETY: waits.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    if cache_type & DIC == 0 {
        for address in lines(executed, length, line(0)) {
            // SAFETY: as above.
            unsafe { asm!("ic ivau, {}", in(reg) address, options(nostack, preserves_flags)) };
        }
    }
    // SAFETY: waits.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
    synchronize_others();
}

/// The addresses of the cache lines that bytes are in.
fn lines(start: *const u8, length: usize, line: usize) -> impl Iterator<Item = usize> {
    let start = start.addr();
    (start / line * line..start + length).step_by(line)
}

/// Has all processors that run this process synchronise their context.
fn synchronize_others() {
    let synchronize = || membarrier(MembarrierCommand::PrivateExpeditedSyncCore);
    let register = || membarrier(MembarrierCommand::RegisterPrivateExpeditedSyncCore);
    if synchronize() == Err(Errno::PERM) {
        // A process says first that it will. A system before Linux 4.16 can do neither: there only other
        // threads that run code at the very moment of its loading are at risk.
        let _ = register().and_then(|()| synchronize());
    }
}
