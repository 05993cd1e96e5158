// The highest level that an object needs has the lower ones.
//# ExpectCpus:
//# ExpectRequires: x86-64-v4
        .globl f
f:      ret
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 16, 5
        .asciz "GNU"
        .long 0xc0008002, 4, 9, 0
