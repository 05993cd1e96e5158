// A thread-local common symbol.
//# ExpectError: a.o: x: thread-local variables cannot be common or absolute
//# Poke: a.o+0x5c = 16
        .comm x, 4, 4
