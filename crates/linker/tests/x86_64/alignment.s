// Large alignments hold in the image, and gaps between code trap.
//# ExpectValue: align(.text) = 4096
//# ExpectValue: align(.data) = 65536
//# ExpectValue: align(.bss) = 0x200000
//# ExpectValue: g - f = 4096
//# ExpectBytes: f = c3 cc cc cc
//# ExpectBytes: g-2 = cc cc c3
//# ExpectValue: y - x = 65536
//# ExpectValue: z - start(.bss) = 0
        .globl f, g, x, y, z
f:      ret
        .data
        .balign 65536
x:      .byte 1
        .bss
        .balign 0x200000
z:      .byte 0
//# Object: b.o
        .section .text,"ax"
        .section .text.g,"ax"
        .balign 4096
        .globl g
g:      ret
        .data
        .balign 65536
        .globl y
y:      .byte 2
