// What all objects have (IBT here, of IBT and SHSTK) the image has; what any needs (x86-64-v2) it needs. An image with
// IBT has a landing pad in its PLT entries.
//# ExpectValue: align(.note.gnu.property) = 8
//# ExpectWord32: start(.note.gnu.property) = 4
//# ExpectWord32: start(.note.gnu.property)+4 = 32
//# ExpectWord32: start(.note.gnu.property)+8 = 5
//# ExpectWord32: start(.note.gnu.property)+16 = 0xc0000002
//# ExpectWord32: start(.note.gnu.property)+20 = 4
//# ExpectWord32: start(.note.gnu.property)+24 = 1
//# ExpectWord32: start(.note.gnu.property)+32 = 0xc0008002
//# ExpectWord32: start(.note.gnu.property)+40 = 2
//# ExpectBytes: plt(import) = f3 0f 1e fa ff 25
//# ExpectValue: end(.plt) - start(.plt) = 16
        .globl f
f:      jmp import@PLT
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 16, 5
        .asciz "GNU"
        .long 0xc0000002, 4, 3, 0
//# Object: b.o
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 32, 5
        .asciz "GNU"
        .long 0xc0000002, 4, 1, 0
        .long 0xc0008002, 4, 2, 0
