// Records that do not parse: too short, past the end, without a CIE, without a function.
//# ExpectError: a.o: .eh_frame+0x0: malformed unwind record: too short
        .section .eh_frame,"a",@progbits
        .long 3
        .byte 0, 0, 0
