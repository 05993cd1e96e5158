//# Poke: a.o+0x10 = 02 00
//# ExpectError: a.o: cannot be linked: a linked executable: give the objects that it was made of
        .globl f
f:      ret
