// A thread-local common symbol that is aligned to more than images allow.
//# Poke: a.o+0x5c = 16
//# ExpectError: a.o: x: thread-local variables cannot be aligned to more than 65536 bytes
        .comm x, 4, 0x20000
