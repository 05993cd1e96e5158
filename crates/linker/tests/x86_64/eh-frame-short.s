// An FDE has room for its function, the function's size and the size of what else it says.
//# ExpectError: a.o: .eh_frame+0x14: malformed unwind record: an FDE that does not say its function's size
f:      ret
        .section .eh_frame,"a",@progbits
        .long 16, 0
        .byte 1
        .asciz "zR"
        .byte 1, 0x78, 16, 1, 0x1b, 0, 0, 0
        .long 12, 24, 0, 1
        .reloc .eh_frame+28, R_X86_64_PC32, .text
