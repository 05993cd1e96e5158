//! x86-64: a stub leaves the address of its slot in `r11`.

use std::arch::global_asm;

use super::tls_descriptor::{STATE_PARTS, STATE_SIZE, prepare};
use crate::stubs::first_call;

global_asm!(
    ".pushsection .text.farcall_first_call,\"ax\",@progbits",
    ".hidden farcall_first_call",
    ".globl farcall_first_call",
    ".type farcall_first_call, @function",
    ".p2align 4",
    "farcall_first_call:",
    ".cfi_startproc",
    "endbr64",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rax", // The number of vector registers of a call with variable arguments.
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",     // The static chain.
    "mov rdi, r11", // The slot: the argument.
    "mov ecx, dword ptr [rip + {size}]",
    "sub rsp, rcx",
    "and rsp, -64", // As `xsave` and calls want it.
    "mov eax, dword ptr [rip + {parts}]",
    "test eax, eax",
    "jz 2f",
    "xor edx, edx", // The upper half of the parts.
    "mov qword ptr [rsp + 512], rdx", // The header of the area, which `xsave` does not clear.
    "mov qword ptr [rsp + 520], rdx",
    "mov qword ptr [rsp + 528], rdx",
    "mov qword ptr [rsp + 536], rdx",
    "mov qword ptr [rsp + 544], rdx",
    "mov qword ptr [rsp + 552], rdx",
    "mov qword ptr [rsp + 560], rdx",
    "mov qword ptr [rsp + 568], rdx",
    "xsave64 [rsp]",
    "call {first_call}",
    "mov r11, rax", // The function.
    "mov eax, dword ptr [rip + {parts}]",
    "xor edx, edx",
    "xrstor64 [rsp]",
    "jmp 3f",
    "2:",
    "fxsave64 [rsp]",
    "call {first_call}",
    "mov r11, rax",
    "fxrstor64 [rsp]",
    "3:",
    "lea rsp, [rbp - 64]", // The eight registers above.
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    ".cfi_restore rbp",
    "jmp r11",
    ".cfi_endproc",
    ".size farcall_first_call, . - farcall_first_call",
    ".popsection",
    size = sym STATE_SIZE,
    parts = sym STATE_PARTS,
    first_call = sym first_call,
);

unsafe extern "C" {
    fn farcall_first_call();
}

/// The address of the code, ready to be jumped to.
pub(crate) fn entry() -> u64 {
    prepare();
    (farcall_first_call as unsafe extern "C" fn() as *const ()).expose_provenance() as u64
}
