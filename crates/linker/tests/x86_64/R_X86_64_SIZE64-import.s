// The size of what another image defines is not known.
//# ExpectError: a.o: .data+0x0: R_X86_64_SIZE64 against import is not supported yet
        .data
        .quad 0
        .reloc .data, R_X86_64_SIZE64, import
