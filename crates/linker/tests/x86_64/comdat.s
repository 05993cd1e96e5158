// Of groups with one signature the first stays; another's sections, symbols and unwind records go whole.
//# ExpectBytes: inline_f = b8 01 00 00 00 c3
//# ExpectValue: end(.text) - start(.text) = 6 + 16 - 6 + 6 + 16 - 6 + 6
//# ExpectWord32: f+1 = inline_f - (f+1) - 4
//# ExpectWord32: g+1 = inline_f - (g+1) - 4
//# ExpectSymbol: inline_f binding=WEAK type=FUNC size=6
//# ExpectNoSymbol: only_in_b
//# ExpectUnwind: f inline_f g
//# ExpectNoSection: .group
//# ExpectValue: end(.rodata) - start(.rodata) = 4
        .section .text.inline_f,"axG",@progbits,inline_f,comdat
        .balign 16
        .weak inline_f
        .type inline_f, @function
inline_f:
        .cfi_startproc
        movl $1, %eax
        ret
        .cfi_endproc
        .size inline_f, . - inline_f
        .section .rodata.inline_f,"aG",@progbits,inline_f,comdat
        .ascii "keep"
        .text
        .balign 16
        .globl f
f:      .cfi_startproc
        call inline_f@PLT
        ret
        .cfi_endproc
//# Object: b.o
        .section .text.inline_f,"axG",@progbits,inline_f,comdat
        .balign 16
        .weak inline_f
        .type inline_f, @function
inline_f:
        .cfi_startproc
        movl $2, %eax
        ret
        .cfi_endproc
        .size inline_f, . - inline_f
        .weak only_in_b
only_in_b: nop
        .section .rodata.inline_f,"aG",@progbits,inline_f,comdat
        .ascii "lose this"
        .text
        .balign 16
        .globl g
g:      .cfi_startproc
        call inline_f@PLT
        ret
        .cfi_endproc
