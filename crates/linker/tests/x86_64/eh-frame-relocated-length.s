// A relocation that would change where a record ends.
//# ExpectError: a.o: .eh_frame+0xc: malformed unwind record: a relocation changes its length or its CIE
f:      ret
        .section .eh_frame,"a",@progbits
        .long 8, 0, 0
        .long 12, 16, 0, 1
        .reloc .eh_frame+12, R_X86_64_PC32, .text
        .reloc .eh_frame+20, R_X86_64_PC32, .text
