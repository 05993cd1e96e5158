//# ExpectError: a.o: section .note.gnu.property: the object is for a system that signs pointers (PAuth ABI)
        .globl f
f:      ret
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 24, 5
        .asciz "GNU"
        .long 0xc0000001, 16, 2, 0, 1, 0
