//! AArch64: a stub leaves the address of its slot in `x16`.

use std::arch::global_asm;
use std::mem::offset_of;

use crate::stubs::call_body;
use crate::sys::saved_arguments::SavedArguments;

/// The registers for integer and pointer arguments.
pub(crate) const INTEGER_REGISTERS: usize = 8;

/// The room for the arguments, in bytes: what keeps the stack aligned.
const ROOM: usize = size_of::<SavedArguments>().next_multiple_of(16);

global_asm!(
    ".pushsection .text.farcall_callback,\"ax\",@progbits",
    ".hidden farcall_callback",
    ".globl farcall_callback",
    ".type farcall_callback, @function",
    ".p2align 4",
    "farcall_callback:",
    ".cfi_startproc",
    "hint #34", // bti c
    "stp x29, x30, [sp, #-16]!",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset x29, -16",
    ".cfi_offset x30, -8",
    "mov x29, sp",
    ".cfi_def_cfa_register x29",
    "sub sp, sp, #{room}",
    "stp x0, x1, [sp, #{integers}]",
    "stp x2, x3, [sp, #{integers} + 16]",
    "stp x4, x5, [sp, #{integers} + 32]",
    "stp x6, x7, [sp, #{integers} + 48]",
    "stp d0, d1, [sp, #{floats}]",
    "stp d2, d3, [sp, #{floats} + 16]",
    "stp d4, d5, [sp, #{floats} + 32]",
    "stp d6, d7, [sp, #{floats} + 48]",
    "add x9, x29, #16", // Above the caller's x29 and x30.
    "str x9, [sp, #{stack}]",
    "mov x0, x16", // The slot.
    "mov x1, sp",  // The arguments.
    "bl {call_body}",
    "fmov d0, x0", // The caller looks at one of the two, as the result's type is.
    "mov sp, x29",
    ".cfi_def_cfa_register sp",
    "ldp x29, x30, [sp], #16",
    ".cfi_def_cfa_offset 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "ret",
    ".cfi_endproc",
    ".size farcall_callback, . - farcall_callback",
    ".popsection",
    room = const ROOM,
    integers = const offset_of!(SavedArguments, integers),
    floats = const offset_of!(SavedArguments, floats),
    stack = const offset_of!(SavedArguments, stack),
    call_body = sym call_body,
);

unsafe extern "C" {
    fn farcall_callback();
}

/// The address of the code, ready to be jumped to.
pub(crate) fn entry() -> u64 {
    (farcall_callback as unsafe extern "C" fn() as *const ()).expose_provenance() as u64
}
