// Code in one object and writable in another.
//# ExpectError: b.o: section my_table: it is code in one object and writable in another
        .section my_table,"ax",@progbits
        .quad 1
//# Object: b.o
        .section my_table,"aw",@progbits
        .quad 2
