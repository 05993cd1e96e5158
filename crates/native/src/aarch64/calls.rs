//! Frames of our own, and calls that fill all registers, in the calling convention of AArch64
//! (AAPCS64).

use std::arch::global_asm;
use std::ffi::c_int;

use crate::catch::personality;
use crate::registers::filling_calls;

filling_calls!(x0 x1 x2 x3 x4 x5 x6 x7);

/// The register that carries an exception to a landing pad, by its DWARF number: `x0`.
pub(crate) const EXCEPTION_REGISTER: c_int = 0;

// The frame of `catch`: calls its first argument with the second, and gives null or the exception.
global_asm!(
    ".pushsection .text.farcall_call_catching,\"ax\",@progbits",
    ".hidden farcall_call_catching",
    ".globl farcall_call_catching",
    ".type farcall_call_catching, @function",
    ".p2align 4",
    "farcall_call_catching:",
    ".cfi_startproc",
    ".cfi_personality 0x1b, {personality}", // PC-relative, 32 bits.
    "hint #34", // bti c
    "stp x29, x30, [sp, #-16]!",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset x29, -16",
    ".cfi_offset x30, -8",
    "mov x29, sp",
    ".cfi_def_cfa_register x29",
    "mov x16, x0", // The function.
    "mov x0, x1",  // Its argument.
    "blr x16",
    "mov x0, xzr", // No exception.
    ".hidden farcall_call_caught",
    ".globl farcall_call_caught",
    "farcall_call_caught:", // Or here, with the exception in x0.
    "hint #36", // bti j
    "ldp x29, x30, [sp], #16",
    ".cfi_def_cfa sp, 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "ret",
    ".cfi_endproc",
    ".size farcall_call_catching, . - farcall_call_catching",
    ".popsection",
    personality = sym personality,
);

// The frame of `noexcept`, without unwind tables.
global_asm!(
    ".pushsection .text.farcall_call_noexcept,\"ax\",@progbits",
    ".hidden farcall_call_noexcept",
    ".globl farcall_call_noexcept",
    ".type farcall_call_noexcept, @function",
    ".p2align 4",
    "farcall_call_noexcept:",
    "hint #34", // bti c
    "stp x29, x30, [sp, #-16]!",
    "mov x29, sp", // Makes the frame one that a profiler can follow.
    "mov x16, x0", // The function.
    "mov x0, x1",  // Its three arguments.
    "mov x1, x2",
    "mov x2, x3",
    "blr x16",
    "ldp x29, x30, [sp], #16",
    "ret",
    ".size farcall_call_noexcept, . - farcall_call_noexcept",
    ".popsection",
);
