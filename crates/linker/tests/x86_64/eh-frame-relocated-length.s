// A relocation that would change where a record ends.
//# ExpectError: a.o: .eh_frame+0x14: malformed unwind record: a relocation changes its length or its CIE
f:      ret
        .section .eh_frame,"a",@progbits
        .long 16, 0
        .byte 1
        .asciz "zR"
        .byte 1, 0x78, 16, 1, 0x1b, 0, 0, 0
        .long 16, 24, 0, 1, 0
        .reloc .eh_frame+20, R_X86_64_PC32, .text
        .reloc .eh_frame+28, R_X86_64_PC32, .text
