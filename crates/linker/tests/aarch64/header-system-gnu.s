// What uses extensions of GNU says so.
//# Poke: a.o+0x7 = 03
//# ExpectSymbol: f
        .globl f
f:      ret
