//! The functions that TLS descriptors name on AArch64.
//!
//! The descriptor's address and the result are in `x0`. All other general registers keep their values, and
//! the low 128 bits of vector registers; flags, predicates and the rest of SVE's registers need not, as
//! compilers have it. Source: "ELF for the Arm 64-bit Architecture", "Thread Local Storage"; "Thread-Local
//! Storage Descriptors for the ARM platform", Oliva and Araújo.

use std::arch::{asm, global_asm};

use crate::sys::tls_descriptor::ThreadBlocks;
use crate::tls::tls_get_addr;

global_asm!(
    ".pushsection .text.farcall_tls_descriptors,\"ax\",@progbits",
    ".hidden farcall_tls_descriptor_constant",
    ".globl farcall_tls_descriptor_constant",
    ".type farcall_tls_descriptor_constant, @function",
    ".p2align 4",
    "farcall_tls_descriptor_constant:",
    ".cfi_startproc",
    "hint #34",          // bti c
    "ldr x0, [x0, #8]",  // The descriptor's second word.
    "ret",
    ".cfi_endproc",
    ".size farcall_tls_descriptor_constant, . - farcall_tls_descriptor_constant",
    //
    ".hidden farcall_tls_descriptor_hosts",
    ".globl farcall_tls_descriptor_hosts",
    ".type farcall_tls_descriptor_hosts, @function",
    ".p2align 4",
    "farcall_tls_descriptor_hosts:",
    ".cfi_startproc",
    "hint #34",
    "stp x1, x2, [sp, #-32]!", // The frame that the long way ends.
    ".cfi_def_cfa_offset 32",
    "stp x3, x4, [sp, #16]",
    "ldr x0, [x0, #8]",        // The pair.
    "b 2f",
    ".cfi_endproc",
    ".size farcall_tls_descriptor_hosts, . - farcall_tls_descriptor_hosts",
    //
    ".hidden farcall_tls_descriptor_ours",
    ".globl farcall_tls_descriptor_ours",
    ".type farcall_tls_descriptor_ours, @function",
    ".p2align 4",
    "farcall_tls_descriptor_ours:",
    ".cfi_startproc",
    "hint #34",
    "stp x1, x2, [sp, #-32]!",
    ".cfi_def_cfa_offset 32",
    "stp x3, x4, [sp, #16]",
    "ldr x0, [x0, #8]",         // The pair.
    "adrp x1, :gottprel:farcall_thread_blocks",
    "ldr x1, [x1, :gottprel_lo12:farcall_thread_blocks]",
    "mrs x4, tpidr_el0",        // The thread pointer.
    "add x1, x1, x4",           //
    "ldp x1, x2, [x1]",         // The thread's table and its length.
    "ldr w3, [x0]",             // The pair's slot.
    "cmp x3, x2",               // In the table?
    "b.hs 2f",                  //
    "add x1, x1, x3, lsl #4",   // A `Block` is 16 bytes.
    "ldr w2, [x1]",             // The tag of the thread's block.
    "ldr w3, [x0, #4]",         // That of the pair?
    "cmp w2, w3",               //
    "b.ne 2f",                  //
    "ldr x0, [x0, #8]",         // The variable's offset in the block.
    "ldr x1, [x1, #8]",         //
    "add x0, x0, x1",           // Its address.
    "sub x0, x0, x4",           // From the thread pointer.
    ".cfi_remember_state",
    "ldp x3, x4, [sp, #16]",
    "ldp x1, x2, [sp], #32",
    ".cfi_def_cfa_offset 0",
    "ret",
    //
    // The long way, with `x1` to `x4` pushed and the pair in `x0`.
    "2:",
    ".cfi_restore_state",
    "sub sp, sp, #640",
    ".cfi_def_cfa_offset 672",
    "stp x29, x30, [sp]",
    ".cfi_offset x29, -672",
    ".cfi_offset x30, -664",
    "mov x29, sp",
    "stp x5, x6, [sp, #16]",
    "stp x7, x8, [sp, #32]",
    "stp x9, x10, [sp, #48]",
    "stp x11, x12, [sp, #64]",
    "stp x13, x14, [sp, #80]",
    "stp x15, x16, [sp, #96]",
    "stp x17, x18, [sp, #112]",
    "stp q0, q1, [sp, #128]",
    "stp q2, q3, [sp, #160]",
    "stp q4, q5, [sp, #192]",
    "stp q6, q7, [sp, #224]",
    "stp q8, q9, [sp, #256]",   // A callee keeps the low half of these.
    "stp q10, q11, [sp, #288]",
    "stp q12, q13, [sp, #320]",
    "stp q14, q15, [sp, #352]",
    "stp q16, q17, [sp, #384]",
    "stp q18, q19, [sp, #416]",
    "stp q20, q21, [sp, #448]",
    "stp q22, q23, [sp, #480]",
    "stp q24, q25, [sp, #512]",
    "stp q26, q27, [sp, #544]",
    "stp q28, q29, [sp, #576]",
    "stp q30, q31, [sp, #608]",
    "bl {tls_get_addr}",
    "mrs x1, tpidr_el0",
    "sub x0, x0, x1",           // The variable's address from the thread pointer.
    "ldp q30, q31, [sp, #608]",
    "ldp q28, q29, [sp, #576]",
    "ldp q26, q27, [sp, #544]",
    "ldp q24, q25, [sp, #512]",
    "ldp q22, q23, [sp, #480]",
    "ldp q20, q21, [sp, #448]",
    "ldp q18, q19, [sp, #416]",
    "ldp q16, q17, [sp, #384]",
    "ldp q14, q15, [sp, #352]",
    "ldp q12, q13, [sp, #320]",
    "ldp q10, q11, [sp, #288]",
    "ldp q8, q9, [sp, #256]",
    "ldp q6, q7, [sp, #224]",
    "ldp q4, q5, [sp, #192]",
    "ldp q2, q3, [sp, #160]",
    "ldp q0, q1, [sp, #128]",
    "ldp x17, x18, [sp, #112]",
    "ldp x15, x16, [sp, #96]",
    "ldp x13, x14, [sp, #80]",
    "ldp x11, x12, [sp, #64]",
    "ldp x9, x10, [sp, #48]",
    "ldp x7, x8, [sp, #32]",
    "ldp x5, x6, [sp, #16]",
    "ldp x29, x30, [sp]",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "add sp, sp, #640",
    ".cfi_def_cfa_offset 32",
    "ldp x3, x4, [sp, #16]",
    "ldp x1, x2, [sp], #32",
    ".cfi_def_cfa_offset 0",
    "ret",
    ".cfi_endproc",
    ".size farcall_tls_descriptor_ours, . - farcall_tls_descriptor_ours",
    ".popsection",
    tls_get_addr = sym tls_get_addr,
);

/// Nothing has to be known before anyone can call the functions.
pub(crate) fn prepare() {}

/// This thread's table.
pub(crate) fn thread_blocks() -> *mut ThreadBlocks {
    let place: *mut ThreadBlocks;
    // SAFETY: computes an address.
    unsafe {
        asm!(
            "adrp {place}, :gottprel:farcall_thread_blocks",
            "ldr {place}, [{place}, :gottprel_lo12:farcall_thread_blocks]",
            "mrs {pointer}, tpidr_el0",
            "add {place}, {place}, {pointer}",
            place = out(reg) place,
            pointer = out(reg) _,
            options(nostack, readonly, preserves_flags),
        );
    }
    place
}

/// This thread's pointer: what the offsets of thread-local variables count from.
pub(crate) fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: reads a register.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

#[cfg(test)]
pub(crate) mod tests {
    use std::arch::global_asm;

    // Fills every register but sp, calls `[x0]`'s function with x0, and stores the result, the other
    // general registers and the vector registers from x1 on. The vector registers are loaded from x2 on.
    global_asm!(
        ".pushsection .text.farcall_test_descriptor,\"ax\",@progbits",
        "farcall_test_descriptor:",
        "stp x29, x30, [sp, #-176]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "str x1, [sp, #160]",
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "ldr q\\n, [x2, #16*\\n]",
        ".endr",
        ".irp n,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29",
        "mov x\\n, #0x100 + \\n",
        ".endr",
        "ldr x1, [x0]", // As compilers do.
        "blr x1",
        "ldr x30, [sp, #160]", // The output.
        "str x0, [x30]",
        ".irp n,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29",
        "str x\\n, [x30, #8*\\n]",
        ".endr",
        "str x1, [x30, #8]",
        "add x30, x30, #256",
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "str q\\n, [x30, #16*\\n]",
        ".endr",
        "ldp d14, d15, [sp, #144]",
        "ldp d12, d13, [sp, #128]",
        "ldp d10, d11, [sp, #112]",
        "ldp d8, d9, [sp, #96]",
        "ldp x27, x28, [sp, #80]",
        "ldp x25, x26, [sp, #64]",
        "ldp x23, x24, [sp, #48]",
        "ldp x21, x22, [sp, #32]",
        "ldp x19, x20, [sp, #16]",
        "ldp x29, x30, [sp], #176",
        "ret",
        ".popsection",
    );

    unsafe extern "C" {
        fn farcall_test_descriptor(
            descriptor: *const [u64; 2],
            output: *mut u64,
            vectors: *const u64,
        );
    }

    /// Calls a descriptor, checks that only `x0` has changed, and gives that.
    pub(crate) fn call(descriptor: [u64; 2]) -> u64 {
        let vectors: Vec<u64> = (0..32 * 2).map(|word| word * 0x0101_0101_0101).collect();
        let mut output = vec![0_u64; 32 + 32 * 2];
        // SAFETY: the descriptor names one of the functions here; both areas are large enough.
        unsafe {
            farcall_test_descriptor(&raw const descriptor, output.as_mut_ptr(), vectors.as_ptr());
        }
        assert_eq!(output[1], descriptor[0]);
        assert!(
            output[2..30].iter().copied().eq(0x102..=0x11d),
            "{:x?}",
            &output[2..30]
        );
        assert_eq!(output[32..], vectors);
        output[0]
    }
}
