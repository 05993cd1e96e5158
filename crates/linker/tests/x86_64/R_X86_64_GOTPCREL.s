// G + GOT + A - P, not relaxed: one entry a symbol, relative for own symbols, GLOB_DAT for imports.
//# Args: -Wa,-mrelax-relocations=no
//# ExpectWord32: f+3 = got(import) - (f+3) - 4
//# ExpectWord32: f+10 = got(own) - (f+10) - 4
//# ExpectWord32: f+17 = got(import) - (f+17) - 4
//# ExpectWord32: f+24 = got(number) - (f+24) - 4
//# ExpectBytes: f = 48 8b 05
//# ExpectBytes: f+7 = 48 8b 05
//# ExpectDynamic: RELATIVE at got(own) = own
//# ExpectDynamic: GLOB_DAT import at got(import)
//# ExpectWord64: got(number) = 77
//# ExpectWord64: got(import) = 0
//# ExpectDynamicCount: 2
//# ExpectValue: end(.got) - start(.got) = 24
//# ExpectNoSection: .plt
        .globl f, own, number
number = 77
f:      mov import@GOTPCREL(%rip), %rax
        mov own@GOTPCREL(%rip), %rax
        mov import@GOTPCREL(%rip), %rax
        mov number@GOTPCREL(%rip), %rax
        .data
own:    .quad 0
