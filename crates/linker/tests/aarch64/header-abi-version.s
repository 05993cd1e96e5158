//# Poke: a.o+0x8 = 01
//# ExpectError: a.o: cannot be linked: for another system
        .globl f
f:      ret
