// The image's records are read-only, also where the object's are not.
// The flags of the object's third section.
//# Poke: a.o+0x1c0 = 03
//# ExpectError: a.o: .eh_frame+0x1c: R_X86_64_64 against .text would change read-only bytes at load
f:      ret
        .section .eh_frame,"a",@progbits
        .long 16, 0
        .byte 1
        .asciz "zR"
        .byte 1, 0x78, 16, 1, 0x1b, 0, 0, 0
        .long 20, 24, 0, 0, 0, 0
        .reloc .eh_frame+28, R_X86_64_64, .text
