//# Poke: a.o+0x30 = 01
//# ExpectError: a.o: cannot be linked: with flags of an ABI (e_flags) that this machine does not have
        .globl f
f:      ret
