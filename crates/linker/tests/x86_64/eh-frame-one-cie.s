// Equal CIEs of all objects are one, but not those with different personality routines. There are two
// of 28 bytes, one of 24, five FDEs, some of them padded, and the end.
//# ExpectUnwind: first second third fourth fifth
//# ExpectValue: end(.eh_frame) - start(.eh_frame) = 24 + 2 * 28 + 2 * 24 + 3 * 20 + 4

    .text
    .globl first
first:
    .cfi_startproc
    .zero 16, 0x90
    .cfi_endproc

//# Object: b.o
    .text
    .globl second, third
second:
    .cfi_startproc
    .zero 16, 0x90
    .cfi_endproc
third:
    .cfi_startproc
    .cfi_personality 0x9b, word
    .zero 16, 0x90
    .cfi_endproc
    .data
    .hidden word
    .globl word
word:
    .quad routine

//# Object: c.o
    .text
    .globl fourth
fourth:
    .cfi_startproc
    .cfi_personality 0x9b, word
    .zero 16, 0x90
    .cfi_endproc

//# Object: d.o
    .text
    .globl fifth
fifth:
    .cfi_startproc
    .cfi_personality 0x9b, other
    .zero 16, 0x90
    .cfi_endproc
    .data
other:
    .quad routine
