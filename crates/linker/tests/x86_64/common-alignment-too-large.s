// A common symbol with an alignment of more than a page of the largest kind.
//# ExpectError: a.o: big: it is aligned to more than 2 MiB: align it less
        .comm big, 4, 0x400000
