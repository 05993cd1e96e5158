// Indirect functions: calls and addresses in code go through the PLT, so its entry is the address to words too.
//# ExpectValue: operand(f) = start(.plt)
//# ExpectValue: operand(f+4) + operand(f+8) = start(.plt)
//# ExpectValue: operand(f+12) + operand(f+16) = start(.got) + 8
//# ExpectValue: operand(start(.plt)+4) + operand(start(.plt)+8) = start(.got)
//# ExpectDynamic: INDIRECT . at start(.got) = resolver
//# ExpectDynamic: RELATIVE at start(.got) + 8 = start(.plt)
//# ExpectDynamic: RELATIVE at d = start(.plt)
//# ExpectDynamicCount: 3
        .globl f, resolver, d
        .hidden pick
f:      bl pick
        adrp x0, pick
        add x0, x0, :lo12:pick
        adrp x1, :got:pick
        ldr x1, [x1, :got_lo12:pick]
        ret
        .type pick, %gnu_indirect_function
        .globl pick
pick:
resolver:
        adr x0, f
        ret
        .data
d:      .quad pick
