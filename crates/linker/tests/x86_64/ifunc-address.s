// The address of an indirect function is one: where code computes it, it is the PLT entry's in words, in the GOT and to
// other images too. So is one that something is added to, which nothing does at load.
//# ExpectSymbol: pick section=.plt type=FUNC
//# ExpectValue: pick = start(.plt)
//# ExpectWord32: f+3 = start(.plt) - (f+3) - 4
//# ExpectWord32: f+10 = start(.got) + 8 - (f+10) - 4
//# ExpectDynamic: INDIRECT . at start(.got) = resolver
//# ExpectDynamic: RELATIVE at start(.got) + 8 = start(.plt)
//# ExpectDynamic: RELATIVE at d = start(.plt)
//# ExpectDynamic: INDIRECT . at start(.got) + 16 = resolver
//# ExpectDynamic: RELATIVE at d+8 = start(.plt) + 8 + 3
//# ExpectDynamic: RELATIVE at d+16 = start(.plt) + 8
//# ExpectDynamicCount: 6
        .globl f, resolver, d, pick
        .type pick, @gnu_indirect_function
        .type other, @gnu_indirect_function
f:      leaq pick(%rip), %rax
        movq pick@GOTPCREL(%rip), %rax
        ret
pick:
other:
resolver:
        leaq f(%rip), %rax
        ret
        .data
d:      .quad pick
        .quad other+3
        .quad other
