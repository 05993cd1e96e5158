// A relocation type of another ABI than AAELF64, and one that only images have.
//# ExpectError: a.o: .text+0x4: unknown relocation type 580 against f
//# ExpectError: a.o: .data+0x0: R_AARCH64_GLOB_DAT against f is not position-independent
        .globl f
f:      ret
        nop
        .reloc f+4, R_AARCH64_AUTH_ABS64, f
        .data
        .xword 0
        .reloc .data, R_AARCH64_GLOB_DAT, f
