// The image's records are read-only, also where the object's are not.
// The flags of the object's third section.
//# Poke: a.o+0x1b8 = 03
//# ExpectError: a.o: .eh_frame+0x14: R_X86_64_64 against .text would change read-only bytes at load
f:      ret
        .section .eh_frame,"a",@progbits
        .long 8, 0, 0
        .long 20, 16, 0, 0, 0, 0
        .reloc .eh_frame+20, R_X86_64_64, .text
