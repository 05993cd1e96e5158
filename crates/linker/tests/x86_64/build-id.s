// The build-id of an object, as `ld -r --build-id` gives it, is none of the image.
//# ExpectSymbol: f
//# ExpectNoSymbol: id
        .globl f, id
f:      ret
        .section .note.gnu.build-id,"a",@note
        .long 4, 4, 3
        .asciz "GNU"
id:     .long 0x12345678
