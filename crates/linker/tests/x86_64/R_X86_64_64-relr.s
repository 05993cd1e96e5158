// Neighbours share a bitmap: 200 words and one far away, in two segments.
//# ExpectDynamic: RELATIVE at table = table
//# ExpectDynamic: RELATIVE at table+8*199 = table
//# ExpectDynamic: RELATIVE at far = table
//# ExpectDynamic: RELATIVE at constant = table
//# ExpectDynamic: RELATIVE at constant+16 = far
//# ExpectDynamicCount: 203
//# ExpectValue: end(.relr.dyn) - start(.relr.dyn) = 8 * 8
        .section .data.rel.ro,"aw"
        .globl constant
constant:
        .quad table, 0, far
        .data
        .balign 8
        .globl table, far
table:  .rept 200
        .quad table
        .endr
        .zero 8000
far:    .quad table
