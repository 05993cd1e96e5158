// A call of an address that has no name cannot be told how far away it is.
//# ExpectError: a.o: .text+0x1: R_X86_64_PC32 against no symbol is not position-independent: compile with -fPIC
//# ExpectError: a.o: .text+0x6: R_X86_64_PLT32 against no symbol is not position-independent: compile with -fPIC
f:      call 0x12345678
        .byte 0xe8, 0, 0, 0, 0
        .reloc f+6, R_X86_64_PLT32, 0x12345674
