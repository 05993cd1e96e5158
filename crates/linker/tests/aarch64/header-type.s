//# Poke: a.o+0x10 = 00 fe
//# ExpectError: a.o: cannot be linked: not a relocatable object (ET_REL)
        .globl f
f:      ret
