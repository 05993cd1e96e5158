//! x86-64: a stub leaves the address of its slot in `r11`.

use std::arch::global_asm;
use std::mem::offset_of;

use crate::stubs::call_body;
use crate::sys::saved_arguments::SavedArguments;

/// The registers for integer and pointer arguments.
pub(crate) const INTEGER_REGISTERS: usize = 6;

/// The room for the arguments, in bytes: what keeps the stack aligned for calls.
const ROOM: usize = size_of::<SavedArguments>().next_multiple_of(16);

global_asm!(
    ".pushsection .text.farcall_callback,\"ax\",@progbits",
    ".hidden farcall_callback",
    ".globl farcall_callback",
    ".type farcall_callback, @function",
    ".p2align 4",
    "farcall_callback:",
    ".cfi_startproc",
    "endbr64",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "sub rsp, {room}",
    "mov qword ptr [rsp + {integers}], rdi",
    "mov qword ptr [rsp + {integers} + 8], rsi",
    "mov qword ptr [rsp + {integers} + 16], rdx",
    "mov qword ptr [rsp + {integers} + 24], rcx",
    "mov qword ptr [rsp + {integers} + 32], r8",
    "mov qword ptr [rsp + {integers} + 40], r9",
    "movsd qword ptr [rsp + {floats}], xmm0",
    "movsd qword ptr [rsp + {floats} + 8], xmm1",
    "movsd qword ptr [rsp + {floats} + 16], xmm2",
    "movsd qword ptr [rsp + {floats} + 24], xmm3",
    "movsd qword ptr [rsp + {floats} + 32], xmm4",
    "movsd qword ptr [rsp + {floats} + 40], xmm5",
    "movsd qword ptr [rsp + {floats} + 48], xmm6",
    "movsd qword ptr [rsp + {floats} + 56], xmm7",
    "lea rax, [rbp + 16]", // Above the caller's rbp and the return address.
    "mov qword ptr [rsp + {stack}], rax",
    "mov rdi, r11", // The slot.
    "mov rsi, rsp", // The arguments.
    "call {call_body}",
    "movq xmm0, rax", // The caller looks at one of the two, as the result's type is.
    "leave",
    ".cfi_def_cfa rsp, 8",
    ".cfi_restore rbp",
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
