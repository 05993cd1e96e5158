//# Poke: a.o+0x10 = 03 00
//# ExpectError: a.o: cannot be linked: a linked shared object or executable: give the objects that it was made of
        .globl f
f:      ret
