// An object with the other byte order (EI_DATA).
//# Poke: a.o+5 = 02
//# ExpectError: a.o: cannot be linked: big-endian: compile it for a little-endian system
        .globl f
f:      ret
