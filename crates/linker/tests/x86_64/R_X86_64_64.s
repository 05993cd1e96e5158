// S + A in data: relative to the image for its own symbols, symbolic for imports, a number for absolute ones.
//# ExpectDynamic: RELATIVE at table = f + 5
//# ExpectDynamic: ABSOLUTE import+16 at table+8
//# ExpectWord64: table+16 = 0x123456789abcdef0 + 1
//# ExpectWord64: table+24 = 0
//# ExpectDynamic: ABSOLUTE weak_import at table+32
//# ExpectDynamic: RELATIVE at table+40 = table - 8
//# ExpectDynamicCount: 4
//# ExpectImport: import
//# ExpectImport: weak_import weak
//# ExpectSymbol: number section=ABS
        .text
        .globl f
f:      ret
        .data
        .globl table, number
number = 0x123456789abcdef0
        .quad 0
table:  .quad f+5
        .quad import+16
        .quad number+1
        .quad hidden_weak
        .quad weak_import
        .quad .data
        .weak hidden_weak, weak_import
        .hidden hidden_weak
