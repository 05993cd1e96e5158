// Indirect functions: calls go through the PLT; code computes its entry's address, which is then that in words and in the
// GOT too. Where no code does, they get what the resolver gives.
//# ExpectValue: operand(f) = start(.plt)
//# ExpectValue: operand(f+4) + operand(f+8) = start(.plt)
//# ExpectValue: operand(f+12) + operand(f+16) = start(.got) + 16
//# ExpectValue: operand(f+20) + operand(f+24) = start(.got) + 8
//# ExpectValue: operand(start(.plt)+4) + operand(start(.plt)+8) = start(.got)
//# ExpectDynamic: INDIRECT . at start(.got) = resolver
//# ExpectDynamic: INDIRECT . at start(.got) + 8 = resolver
//# ExpectDynamic: RELATIVE at start(.got) + 16 = start(.plt)
//# ExpectDynamic: RELATIVE at d = start(.plt)
//# ExpectDynamic: INDIRECT . at d + 8 = resolver
//# ExpectDynamicCount: 5
        .globl f, resolver, d
        .hidden pick, loaded
f:      bl pick
        adrp x0, pick
        add x0, x0, :lo12:pick
        adrp x1, :got:pick
        ldr x1, [x1, :got_lo12:pick]
        adrp x1, :got:loaded
        ldr x1, [x1, :got_lo12:loaded]
        ret
        .type pick, %gnu_indirect_function
        .type loaded, %gnu_indirect_function
        .globl pick, loaded
pick:
loaded:
resolver:
        adr x0, f
        ret
        .data
        .balign 8
d:      .quad pick
        .quad loaded
