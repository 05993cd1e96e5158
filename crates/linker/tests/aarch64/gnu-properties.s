// BTI and PAC are the image's when all objects have them.
//# ExpectWord32: start(.note.gnu.property)+16 = 0xc0000000
//# ExpectWord32: start(.note.gnu.property)+24 = 3
        .globl f
f:      bti c
        b import
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 16, 5
        .asciz "GNU"
        .long 0xc0000000, 4, 3, 0
//# Object: b.o
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 40, 5
        .asciz "GNU"
        .long 0xc0000000, 4, 3, 0
        .long 0xc0000001, 16, 0, 0, 0, 0
