// More than a page of the largest kind.
//# ExpectError: a.o: malformed object: a section's alignment 4194304 is no power of two up to 2097152
        .data
        .balign 0x400000
        .quad 1
