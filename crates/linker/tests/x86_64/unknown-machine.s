// An object for a machine that nobody knows (e_machine).
//# Poke: a.o+0x12 = ad de
//# ExpectError: a.o: for an unknown machine (e_machine 57005)
        .globl f
f:      ret
