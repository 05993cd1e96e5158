// Relative relocations are of what is linked.
//# ExpectError: a.o: SHT_RELR relocations, which only what is linked already has: give the objects that it was made of
        .globl f
f:      ret
        .section .relr.text,"",@0x13
        .quad 0
