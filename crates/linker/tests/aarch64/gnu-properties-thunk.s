// A thunk jumps to what its register says, which may be a function without a landing pad: an image with thunks has no BTI.
//# ExpectWord32: start(.note.gnu.property)+16 = 0xc0000000
//# ExpectWord32: start(.note.gnu.property)+24 = 2
        .globl f
f:      bl last
        ret
        .section .text.a,"ax"
        .zero 0x8800000
        .section .text.last,"ax"
last:   ret
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 16, 5
        .asciz "GNU"
        .long 0xc0000000, 4, 3, 0
