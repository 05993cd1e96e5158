// A symbol in a section whose number means something to its producer only.
//# Poke: a.o+0x5e = 41 ff
//# ExpectError: a.o: malformed object: symbol 1: reserved section index 0xff41
        .comm x, 4, 8
