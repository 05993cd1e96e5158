// More than a page of the largest kind.
//# ExpectError: a.o: section .data: it is aligned to more than 2 MiB: align it less
        .data
        .balign 0x400000
        .quad 1
