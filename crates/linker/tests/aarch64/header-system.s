// FreeBSD.
//# Poke: a.o+0x7 = 09
//# ExpectError: a.o: cannot be linked: for another system (EI_OSABI): compile it for Linux
        .globl f
f:      ret
