// An indirect function has one address: where code computes it, it is that of the PLT entry, so it is that in words and in
// the GOT too.
//# ExpectWord32: f+1 = start(.plt) - (f+1) - 4
//# ExpectWord32: f+8 = start(.plt) - (f+8) - 4
//# ExpectWord32: f+15 = start(.got) + 8 - (f+15) - 4
//# ExpectWord32: f+22 = start(.got) + 8 - (f+22) - 4
//# ExpectDynamic: INDIRECT . at start(.got) = resolver
//# ExpectDynamic: RELATIVE at start(.got) + 8 = start(.plt)
//# ExpectDynamic: RELATIVE at d = start(.plt)
//# ExpectDynamicCount: 3
        .globl f, resolver, d
        .hidden pick
f:      call pick@PLT
        leaq pick(%rip), %rax
        movq pick@GOTPCREL(%rip), %rax
        movq pick@GOTPCREL(%rip), %rax
        ret
        .type pick, @gnu_indirect_function
        .globl pick
pick:
resolver:
        leaq f(%rip), %rax
        ret
        .data
        .balign 8
d:      .quad pick
