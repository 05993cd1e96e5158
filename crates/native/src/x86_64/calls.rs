//! Frames of our own, and calls that fill all registers, in the System V calling convention of x86-64
//! (x86-64 psABI, "Function Calling Sequence").

use std::arch::global_asm;
use std::ffi::c_int;

use crate::catch::personality;
use crate::registers::filling_calls;

filling_calls!(rdi rsi rdx rcx r8 r9);

/// The register that carries an exception to a landing pad, by its DWARF number: `rax`.
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
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov rax, rdi", // The function.
    "mov rdi, rsi", // Its argument.
    "call rax",
    "xor eax, eax", // No exception.
    "farcall_call_caught:", // Or here, with the exception in rax.
    ".hidden farcall_call_caught",
    ".globl farcall_call_caught",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
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
    "push rbp", // Aligns the stack, and makes the frame one that a profiler can follow.
    "mov rbp, rsp", //
    "mov rax, rdi", // The function.
    "mov rdi, rsi", // Its three arguments.
    "mov rsi, rdx", //
    "mov rdx, rcx", //
    "call rax", //
    "pop rbp",  //
    "ret",      //
    ".size farcall_call_noexcept, . - farcall_call_noexcept",
    ".popsection",
);
