// Unwind records of kept functions, and only those.
//# ExpectUnwind: f g once
//# ExpectSymbol: once binding=WEAK size=4
//# ExpectDynamicCount: 0
        .globl f
f:      .cfi_startproc
        stp x29, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset 29, -16
        .cfi_offset 30, -8
        ldp x29, x30, [sp], #16
        ret
        .cfi_endproc
//# Object: b.o
        .globl g
g:      .cfi_startproc
        ret
        .cfi_endproc
        .section .text.once,"axG",@progbits,once,comdat
        .weak once
once:   .cfi_startproc
        ret
        .cfi_endproc
        .size once, 4
//# Object: c.o
        .section .text.once,"axG",@progbits,once,comdat
        .weak once
once:   .cfi_startproc
        nop
        ret
        .cfi_endproc
        .size once, 8
