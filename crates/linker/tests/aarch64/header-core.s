//# Poke: a.o+0x10 = 04 00
//# ExpectError: a.o: cannot be linked: a core dump
        .globl f
f:      ret
