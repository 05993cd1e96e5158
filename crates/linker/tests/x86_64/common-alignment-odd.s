// A common symbol with an alignment that is none.
//# Poke: a.o+0x60 = 03
//# ExpectError: a.o: x: its alignment is no power of two
        .comm x, 4, 4
