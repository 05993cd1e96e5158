// Blocks of threads are not aligned to more.
//# ExpectError: a.o: section .tdata: thread-local variables cannot be aligned to more than 65536 bytes
        .section .tdata,"awT",@progbits
        .balign 0x20000
        .quad 1
