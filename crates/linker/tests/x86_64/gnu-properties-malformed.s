//# ExpectError: a.o: malformed object: Invalid ELF GNU property
        .globl f
f:      ret
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 16, 5
        .asciz "GNU"
        .long 0xc0000002, 64, 3, 0
