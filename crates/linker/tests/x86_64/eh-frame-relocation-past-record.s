// A relocation in the last byte of a record would write into the next one.
//# ExpectError: a.o: .eh_frame+0x27: R_X86_64_PC32 against .text lies outside its section
f:      ret
        .section .eh_frame,"a",@progbits
        .long 16, 0
        .byte 1
        .asciz "zR"
        .byte 1, 0x78, 16, 1, 0x1b, 0, 0, 0
        .long 16, 24, 0, 1, 0
        .reloc .eh_frame+28, R_X86_64_PC32, .text
        .reloc .eh_frame+39, R_X86_64_PC32, .text
        .long 16, 44, 0, 1, 0
        .reloc .eh_frame+48, R_X86_64_PC32, .text
