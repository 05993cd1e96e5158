// A record that is longer than its section.
//# ExpectError: a.o: .eh_frame+0x0: malformed unwind record: it ends outside its section
        .section .eh_frame,"a",@progbits
        .long 64, 0, 0
