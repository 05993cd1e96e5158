// A file that is linked already (e_type).
//# Poke: a.o+0x10 = 03
//# ExpectError: a.o: cannot be linked: a linked shared object or executable
        .globl f
f:      ret
