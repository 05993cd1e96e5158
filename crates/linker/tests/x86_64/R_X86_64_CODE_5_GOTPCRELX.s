// What looks like the opcode of a load, `movrs` has in another map; it has no form without the GOT. The assembler does
// not know the type yet, so it is written into the relocation.
//# Args: -mmovrs
//# Poke: a.o+0xa8 = 2e
//# ExpectBytes: f = 48 0f 38 8b 05
//# ExpectWord32: f+5 = got(own) - (f+5) - 4
//# ExpectDynamic: RELATIVE at got(own) = own
//# ExpectDynamicCount: 1
        .globl f, own
f:      movrsq own@GOTPCREL(%rip), %rax
        .data
own:    .quad 0
