// A record that names no function.
//# ExpectError: a.o: .eh_frame+0xc: malformed unwind record: it names no function
        .section .eh_frame,"a",@progbits
        .long 8, 0, 0
        .long 12, 16, 0, 0
