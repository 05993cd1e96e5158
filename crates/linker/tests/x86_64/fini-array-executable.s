// A table of destructors that says that it is code.
//# ExpectError: a.o: section .fini_array: it is no array of pointers
        .section .dtors, "ax", @progbits
        .quad 0
