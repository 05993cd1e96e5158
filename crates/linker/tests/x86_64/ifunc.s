// Indirect functions: calls go through the PLT, words get what the resolver gives; a load from the GOT is not
// relaxed, because the resolver's own address is nobody's to call.
//# ExpectWord32: f+1 = start(.plt) - (f+1) - 4
//# ExpectBytes: f+5 = 48 8b 05
//# ExpectWord32: f+8 = start(.got) + 8 - (f+8) - 4
//# ExpectDynamic: INDIRECT . at start(.got) = resolver
//# ExpectDynamic: INDIRECT . at start(.got) + 8 = resolver
//# ExpectDynamic: INDIRECT . at d = resolver
//# ExpectDynamicCount: 3
//# ExpectSymbol: shown type=IFUNC
        .globl f, resolver, d, shown
        .hidden pick
f:      call pick@PLT
        movq pick@GOTPCREL(%rip), %rax
        ret
        .type pick, @gnu_indirect_function
        .globl pick
pick:
resolver:
        leaq f(%rip), %rax
        ret
        .type shown, @gnu_indirect_function
shown:  leaq f(%rip), %rax
        ret
        .data
d:      .quad pick
