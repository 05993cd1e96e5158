// The first group of a name is kept, the others go whole: their code, their data, their unwind records.
//# ExpectSymbol: once binding=WEAK size=8
//# ExpectUnwind: once other
//# ExpectValue: operand(other) = once
//# ExpectValue: end(.data) - start(.data) = 8
//# ExpectDynamic: RELATIVE at start(.data) = once
//# ExpectDynamicCount: 1
        .section .text.once,"axG",@progbits,once,comdat
        .weak once
once:   .cfi_startproc
        nop
        ret
        .cfi_endproc
        .size once, 8
        .section .data.once,"awG",@progbits,once,comdat
        .xword once
//# Object: b.o
        .section .text.once,"axG",@progbits,once,comdat
        .weak once
once:   .cfi_startproc
        ret
        .cfi_endproc
        .size once, 4
        .section .data.once,"awG",@progbits,once,comdat
        .xword once
        .text
        .globl other
other:  .cfi_startproc
        b once
        .cfi_endproc
