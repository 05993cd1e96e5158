//! AArch64: a stub leaves the address of its slot in `x16`.
//!
//! Functions that pass arguments in scalable vectors (`STO_AARCH64_VARIANT_PCS`) cannot be called through
//! this: it keeps the 128 bits of each vector register that all functions know.

use std::arch::global_asm;

use crate::stubs::first_call;

global_asm!(
    ".pushsection .text.farcall_first_call,\"ax\",@progbits",
    ".hidden farcall_first_call",
    ".globl farcall_first_call",
    ".type farcall_first_call, @function",
    ".p2align 4",
    "farcall_first_call:",
    ".cfi_startproc",
    "hint #34", // bti c
    "stp x29, x30, [sp, #-16]!",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset x29, -16",
    ".cfi_offset x30, -8",
    "mov x29, sp",
    ".cfi_def_cfa_register x29",
    "sub sp, sp, #640",
    "stp x0, x1, [sp, #0]",
    "stp x2, x3, [sp, #16]",
    "stp x4, x5, [sp, #32]",
    "stp x6, x7, [sp, #48]",
    "stp x8, x9, [sp, #64]", // Where a result in memory goes.
    "stp x10, x11, [sp, #80]",
    "stp x12, x13, [sp, #96]",
    "stp x14, x15, [sp, #112]",
    "stp q0, q1, [sp, #128]",
    "stp q2, q3, [sp, #160]",
    "stp q4, q5, [sp, #192]",
    "stp q6, q7, [sp, #224]",
    "stp q8, q9, [sp, #256]", // From here on for callers of vector functions, which expect them back.
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
    "mov x0, x16", // The slot: the argument.
    "bl {first_call}",
    "mov x16, x0", // The function.
    "ldp x0, x1, [sp, #0]",
    "ldp x2, x3, [sp, #16]",
    "ldp x4, x5, [sp, #32]",
    "ldp x6, x7, [sp, #48]",
    "ldp x8, x9, [sp, #64]",
    "ldp x10, x11, [sp, #80]",
    "ldp x12, x13, [sp, #96]",
    "ldp x14, x15, [sp, #112]",
    "ldp q0, q1, [sp, #128]",
    "ldp q2, q3, [sp, #160]",
    "ldp q4, q5, [sp, #192]",
    "ldp q6, q7, [sp, #224]",
    "ldp q8, q9, [sp, #256]",
    "ldp q10, q11, [sp, #288]",
    "ldp q12, q13, [sp, #320]",
    "ldp q14, q15, [sp, #352]",
    "ldp q16, q17, [sp, #384]",
    "ldp q18, q19, [sp, #416]",
    "ldp q20, q21, [sp, #448]",
    "ldp q22, q23, [sp, #480]",
    "ldp q24, q25, [sp, #512]",
    "ldp q26, q27, [sp, #544]",
    "ldp q28, q29, [sp, #576]",
    "ldp q30, q31, [sp, #608]",
    "mov sp, x29",
    ".cfi_def_cfa_register sp",
    "ldp x29, x30, [sp], #16",
    ".cfi_def_cfa_offset 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "br x16",
    ".cfi_endproc",
    ".size farcall_first_call, . - farcall_first_call",
    ".popsection",
    first_call = sym first_call,
);

unsafe extern "C" {
    fn farcall_first_call();
}

/// The address of the code, ready to be jumped to.
pub(crate) fn entry() -> u64 {
    (farcall_first_call as unsafe extern "C" fn() as *const ()).expose_provenance() as u64
}
