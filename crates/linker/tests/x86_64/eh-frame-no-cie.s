// A record whose CIE is no CIE.
//# ExpectError: a.o: .eh_frame+0xc: malformed unwind record: it has no CIE
f:      ret
        .section .eh_frame,"a",@progbits
        .long 8, 0, 0
        .long 12, 12, 0, 0
        .reloc .eh_frame+20, R_X86_64_PC32, .text
