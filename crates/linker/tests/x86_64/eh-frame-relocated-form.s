// A relocation writes where a CIE says how its FDEs name functions.
//# ExpectError: a relocation changes the form of a CIE
        .globl f
f:      .cfi_startproc
        ret
        .cfi_endproc
        .section .eh_frame,"a",@unwind
        .reloc 16, R_X86_64_PC32, f
