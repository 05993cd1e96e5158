// An EVEX instruction (APX) that adds what the GOT holds; it has no form without. The assembler does not know the
// type yet, so it is written into the relocation.
//# Args: -mapxf
//# Poke: a.o+0xa8 = 31
//# ExpectBytes: f = 62 f4 fc 10 03 05
//# ExpectWord32: f+6 = got(own) - (f+6) - 4
//# ExpectDynamic: RELATIVE at got(own) = own
//# ExpectDynamicCount: 1
        .globl f, own
f:      addq own@GOTPCREL(%rip), %rax, %r16
        .data
own:    .quad 0
