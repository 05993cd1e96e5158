// The size of what another image defines is not known.
//# ExpectError: a.o: .data+0x0: R_X86_64_SIZE64 against import, which is imported: its size is not known: define it in the image
        .data
        .quad 0
        .reloc .data, R_X86_64_SIZE64, import
