// An object with the other byte order (EI_DATA).
//# Poke: a.o+5 = 02
//# ExpectError: a.o: cannot be linked: not 64-bit little-endian
        .globl f
f:      ret
