//! The functions that TLS descriptors name on x86-64.
//!
//! The descriptor's address and the result are in `rax`; every other register keeps its value, vector
//! registers too. Source: "Thread-Local Storage Descriptors for IA32 and AMD64/EM64T", Oliva, version 0.9.4.

use std::arch::{asm, global_asm};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::fork;
use crate::sys::tls_descriptor::ThreadBlocks;
use crate::tls::tls_get_addr;

/// The size in bytes of the area that `xsave` or `fxsave` fills.
pub(super) static STATE_SIZE: AtomicU32 = AtomicU32::new(0);
/// The parts of the processor's state that `xsave` saves; 0 where there is only `fxsave`.
pub(super) static STATE_PARTS: AtomicU32 = AtomicU32::new(0);

global_asm!(
    ".pushsection .text.farcall_tls_descriptors,\"ax\",@progbits",
    ".hidden farcall_tls_descriptor_constant",
    ".globl farcall_tls_descriptor_constant",
    ".type farcall_tls_descriptor_constant, @function",
    ".p2align 4",
    "farcall_tls_descriptor_constant:",
    ".cfi_startproc",
    "endbr64",
    "mov rax, qword ptr [rax + 8]", // The descriptor's second word.
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
    "endbr64",
    "push rcx", // The frame that the long way ends.
    ".cfi_adjust_cfa_offset 8",
    "push rdx",
    ".cfi_adjust_cfa_offset 8",
    "mov rax, qword ptr [rax + 8]", // The pair.
    "jmp 2f",
    ".cfi_endproc",
    ".size farcall_tls_descriptor_hosts, . - farcall_tls_descriptor_hosts",
    //
    ".hidden farcall_tls_descriptor_ours",
    ".globl farcall_tls_descriptor_ours",
    ".type farcall_tls_descriptor_ours, @function",
    ".p2align 4",
    "farcall_tls_descriptor_ours:",
    ".cfi_startproc",
    "endbr64",
    "push rcx",
    ".cfi_adjust_cfa_offset 8",
    "push rdx",
    ".cfi_adjust_cfa_offset 8",
    "mov rax, qword ptr [rax + 8]", // The pair.
    "mov rcx, qword ptr [rip + farcall_thread_blocks@GOTTPOFF]",
    "mov edx, dword ptr [rax]",         // Its slot.
    "cmp rdx, qword ptr fs:[rcx + 8]",  // In the table?
    "jae 2f",                           //
    "shl rdx, 4",                       // A `Block` is 16 bytes.
    "add rdx, qword ptr fs:[rcx]",      //
    "mov ecx, dword ptr [rax + 4]",     // The pair's tag.
    "cmp ecx, dword ptr [rdx]",         // That of the thread's block?
    "jne 2f",                           //
    "mov rax, qword ptr [rax + 8]",     // The variable's offset in the block.
    "add rax, qword ptr [rdx + 8]",     // Its address.
    "sub rax, qword ptr fs:[0]",        // From the thread pointer.
    ".cfi_remember_state",
    "pop rdx",
    ".cfi_adjust_cfa_offset -8",
    "pop rcx",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    //
    // The long way, with `rcx` and `rdx` pushed and the pair in `rax`.
    "2:",
    ".cfi_restore_state",
    "push rbp",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_rel_offset rbp, 0",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "mov rdi, rax",                     // The pair: the argument.
    "mov ecx, dword ptr [rip + {size}]",
    "sub rsp, rcx",                     //
    "and rsp, -64",                     // As `xsave` and calls want it.
    "mov eax, dword ptr [rip + {parts}]",
    "test eax, eax",
    "jz 3f",
    "xor edx, edx",                     // The upper half of the parts.
    "mov qword ptr [rsp + 512], rdx",   // The header of the area, which `xsave` does not clear.
    "mov qword ptr [rsp + 520], rdx",
    "mov qword ptr [rsp + 528], rdx",
    "mov qword ptr [rsp + 536], rdx",
    "mov qword ptr [rsp + 544], rdx",
    "mov qword ptr [rsp + 552], rdx",
    "mov qword ptr [rsp + 560], rdx",
    "mov qword ptr [rsp + 568], rdx",
    "xsave64 [rsp]",
    "call {tls_get_addr}",
    "mov rcx, rax",
    "mov eax, dword ptr [rip + {parts}]",
    "xor edx, edx",
    "xrstor64 [rsp]",
    "jmp 4f",
    "3:",
    "fxsave64 [rsp]",
    "call {tls_get_addr}",
    "mov rcx, rax",
    "fxrstor64 [rsp]",
    "4:",
    "mov rax, rcx",                     // The variable's address.
    "sub rax, qword ptr fs:[0]",        // From the thread pointer.
    "lea rsp, [rbp - 48]",              // The six registers above.
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rbp",
    ".cfi_def_cfa rsp, 24",
    ".cfi_restore rbp",
    "pop rdx",
    ".cfi_adjust_cfa_offset -8",
    "pop rcx",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    ".cfi_endproc",
    ".size farcall_tls_descriptor_ours, . - farcall_tls_descriptor_ours",
    ".popsection",
    size = sym STATE_SIZE,
    parts = sym STATE_PARTS,
    tls_get_addr = sym tls_get_addr,
);

/// Asks what the processor has, before anyone can call the functions.
pub(crate) fn prepare() {
    // A virtual machine takes microseconds to answer.
    static KNOWN: Once = Once::new();
    if KNOWN.is_completed() {
        return;
    }
    // A process that is forked off would wait for ever for a thread that is in the middle of it.
    let _forks = fork::hold_off();
    KNOWN.call_once(|| {
        let (parts, size) = saved_state();
        STATE_SIZE.store(size, Ordering::Relaxed);
        STATE_PARTS.store(parts, Ordering::Relaxed);
    });
}

/// Which parts of the processor's state to save, and the size of the area for them in bytes.
///
/// Those that compiled code uses without asking and a call may change: x87, SSE, AVX, AVX-512 (three
/// parts) and the registers of APX. AMX tiles are never used without asking, and protection keys
/// must not be set back. Source: Intel SDM, volume 1, "Managing State Using the XSAVE Feature Set".
fn saved_state() -> (u32, u32) {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const PARTS: u32 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 19;
    const OSXSAVE: u32 = 1 << 27;
    const FXSAVE_SIZE: u32 = 512;
    const HEADER_SIZE: u32 = 64;
    // Miri has no processor to ask.
    if cfg!(miri) || __cpuid(1).ecx & OSXSAVE == 0 {
        return (0, FXSAVE_SIZE);
    }
    let enabled: u32;
    // SAFETY: the system has made `xgetbv` usable; it reads register 0, which is always there.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _, options(nomem, nostack));
    }
    let parts = enabled & PARTS;
    // x87 and SSE have their place in the first 512 bytes; the others say theirs.
    let ends = (2..u32::BITS)
        .filter(|part| parts >> part & 1 == 1)
        .map(|part| {
            let part = __cpuid_count(0xd, part);
            part.ebx.saturating_add(part.eax)
        });
    (parts, ends.fold(FXSAVE_SIZE + HEADER_SIZE, u32::max))
}

/// This thread's table.
pub(crate) fn thread_blocks() -> *mut ThreadBlocks {
    let place: *mut ThreadBlocks;
    // SAFETY: computes an address.
    unsafe {
        asm!(
            "mov {place}, qword ptr fs:[0]",
            "add {place}, qword ptr [rip + farcall_thread_blocks@GOTTPOFF]",
            place = out(reg) place,
            options(nostack, readonly),
        );
    }
    place
}

/// This thread's pointer: what the offsets of thread-local variables count from.
pub(crate) fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: the thread pointer's first word is its own address (x86-64 psABI, "Thread-Local
    // Storage").
    unsafe {
        asm!(
            "mov {pointer}, qword ptr fs:[0]",
            pointer = out(reg) pointer,
            options(nostack, readonly, preserves_flags),
        );
    }
    pointer
}

#[cfg(test)]
pub(crate) mod tests {
    use std::arch::global_asm;

    use super::*;

    // Fills every register but rsp, calls `[rdi]`'s function with rdi in rax, and stores the
    // result, the general registers and the vector registers from rsi on. The vector registers are
    // loaded from rdx on, 64 bytes each if ecx is not 0, else 16.
    global_asm!(
        ".pushsection .text.farcall_test_descriptor,\"ax\",@progbits",
        "farcall_test_descriptor:",
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rsi",
        "push rcx",
        "test ecx, ecx",
        "jz 2f",
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "vmovdqu64 zmm\\n, [rdx + 64*\\n]",
        ".endr",
        ".irp n,1,2,3,4,5,6,7",
        "kmovq k\\n, [rdx + 8*\\n]",
        ".endr",
        "jmp 3f",
        "2:",
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
        "movdqu xmm\\n, [rdx + 64*\\n]",
        ".endr",
        "3:",
        "fld1", // An x87 register too.
        "mov rax, rdi",
        "mov ebx, 0x101",
        "mov ecx, 0x102",
        "mov edx, 0x103",
        "mov esi, 0x104",
        "mov edi, 0x105",
        "mov ebp, 0x106",
        "mov r8d, 0x108",
        "mov r9d, 0x109",
        "mov r10d, 0x10a",
        "mov r11d, 0x10b",
        "mov r12d, 0x10c",
        "mov r13d, 0x10d",
        "mov r14d, 0x10e",
        "mov r15d, 0x10f",
        "call qword ptr [rax]",
        "xchg rsi, [rsp + 8]", // The output; what rsi was stays there.
        "mov [rsi], rax",
        "mov [rsi + 8], rbx",
        "mov [rsi + 16], rcx",
        "mov [rsi + 24], rdx",
        "mov [rsi + 40], rdi",
        "mov [rsi + 48], rbp",
        "mov [rsi + 56], r8",
        "mov [rsi + 64], r9",
        "mov [rsi + 72], r10",
        "mov [rsi + 80], r11",
        "mov [rsi + 88], r12",
        "mov [rsi + 96], r13",
        "mov [rsi + 104], r14",
        "mov [rsi + 112], r15",
        "fstp qword ptr [rsi + 120]",
        "mov rax, [rsp + 8]",
        "mov [rsi + 32], rax",
        "pop rcx",
        "add rsi, 128",
        "test ecx, ecx",
        "jz 4f",
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "vmovdqu64 [rsi + 64*\\n], zmm\\n",
        ".endr",
        ".irp n,1,2,3,4,5,6,7",
        "kmovq [rsi + 2048 + 8*\\n], k\\n",
        ".endr",
        "jmp 5f",
        "4:",
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
        "movdqu [rsi + 64*\\n], xmm\\n",
        ".endr",
        "5:",
        "pop rax",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        ".popsection",
    );

    unsafe extern "C" {
        fn farcall_test_descriptor(
            descriptor: *const [u64; 2],
            output: *mut u64,
            vectors: *const u64,
            wide: u32,
        );
    }

    /// Calls a descriptor, checks that only `rax` has changed, and gives that.
    pub(crate) fn call(descriptor: [u64; 2]) -> u64 {
        let wide = is_x86_feature_detected!("avx512bw");
        let vectors: Vec<u64> = (0..32 * 8).map(|word| word * 0x0101_0101_0101).collect();
        let mut output = vec![0_u64; 16 + 32 * 8 + 8];
        // SAFETY: the descriptor names one of the functions here; both areas are large enough.
        unsafe {
            farcall_test_descriptor(
                &raw const descriptor,
                output.as_mut_ptr(),
                vectors.as_ptr(),
                wide.into(),
            );
        }
        let [result, general @ .., x87] = &output[..16] else {
            unreachable!()
        };
        let expected = (0x101..=0x10f).filter(|&number| number != 0x107);
        assert!(general.iter().copied().eq(expected), "{general:x?}");
        assert_eq!(f64::from_bits(*x87), 1.0);
        let (count, width) = if wide { (32, 8) } else { (16, 2) };
        for register in 0..count {
            let words = 8 * register..8 * register + width;
            assert_eq!(output[16..][words.clone()], vectors[words], "{register}");
        }
        if wide {
            assert_eq!(output[16 + 256 + 1..], vectors[1..8]);
        }
        *result
    }

    #[test]
    fn the_area_holds_what_is_saved() {
        let (parts, size) = saved_state();
        assert!(parts == 0 && size == 512 || parts & 3 == 3 && size >= 576);
    }
}
