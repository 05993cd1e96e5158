// A constructor table that is no whole number of pointers, and one without any bytes.
//# ExpectError: a.o: section .init_array: it is no array of pointers
//# ExpectError: a.o: section .fini_array: it is no array of pointers
        .section .init_array,"aw",@init_array
        .balign 8
        .zero 12
        .section .fini_array,"aw",@nobits
        .zero 8
