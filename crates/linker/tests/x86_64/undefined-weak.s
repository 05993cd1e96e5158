// Weak and undefined: an import that may be null; null at once where nobody outside may define it.
//# ExpectImport: outside weak
//# ExpectImport: both
//# ExpectNoSymbol: inside
//# ExpectWord64: table = 0
//# ExpectDynamic: ABSOLUTE outside at table+8
//# ExpectDynamic: ABSOLUTE both at table+16
//# ExpectDynamicCount: 2
        .data
        .globl table
table:  .quad inside, outside, both
        .weak inside, outside, both
        .hidden inside
//# Object: b.o
        .data
        .quad 0
        .reloc .data, R_X86_64_NONE, both
        .globl both
