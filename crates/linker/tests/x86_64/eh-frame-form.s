// Unwinders end the process where they meet a CIE of a form that they do not know, whoever throws.
//# ExpectError: a.o: .eh_frame+0x0: malformed unwind record: a CIE of a form that unwinders do not read
f:      ret
        .section .eh_frame,"a",@progbits
        .long 16, 0
        .byte 1
        .asciz "zR"
        .byte 1, 0x78, 16, 1, 0x2b, 0, 0, 0
        .long 16, 24, 0, 1, 0
        .reloc .eh_frame+28, R_X86_64_PC32, .text
