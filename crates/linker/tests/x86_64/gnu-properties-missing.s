// An object that does not say it has what the others have takes it from the image.
//# ExpectNoSection: .note.gnu.property
//# ExpectBytes: plt(import) = ff 25
        .globl f
f:      jmp import@PLT
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 16, 5
        .asciz "GNU"
        .long 0xc0000002, 4, 3, 0
//# Object: b.o
        .globl g
g:      ret
