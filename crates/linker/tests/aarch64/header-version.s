//# Poke: a.o+0x6 = 02
//# ExpectError: a.o: cannot be linked: of another version of ELF than 1
        .globl f
f:      ret
