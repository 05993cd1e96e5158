// Types that only a dynamic linker evaluates.
//# ExpectError: a.o: .data+0x0: R_X86_64_COPY against own is not position-independent
//# ExpectError: a.o: .data+0x8: R_X86_64_RELATIVE against own is not position-independent
//# ExpectError: a.o: .data+0x10: R_X86_64_IRELATIVE against own is not position-independent
        .data
        .globl own
own:    .quad 0, 0, 0, 0
        .reloc own, R_X86_64_COPY, own
        .reloc own+8, R_X86_64_RELATIVE, own
        .reloc own+16, R_X86_64_IRELATIVE, own
