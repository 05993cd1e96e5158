// A relocation in the last byte of a record would write into the next one.
//# ExpectError: a.o: .eh_frame+0x1b: R_X86_64_PC32 against .text lies outside its section
f:      ret
        .section .eh_frame,"a",@progbits
        .long 8, 0, 0
        .long 12, 16, 0, 1
        .reloc .eh_frame+20, R_X86_64_PC32, .text
        .reloc .eh_frame+27, R_X86_64_PC32, .text
        .long 12, 32, 0, 1
        .reloc .eh_frame+36, R_X86_64_PC32, .text
