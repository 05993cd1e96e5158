// What images of one scope share, as on x86-64: a weak definition is an import and an export, unless code has its distance.
//# ShareScope: yes
//# ExpectSymbol: weak binding=WEAK visibility=DEFAULT
//# ExpectSymbol: near binding=WEAK
//# ExpectSymbol: hidden binding=GLOBAL visibility=HIDDEN
//# ExpectImport: elsewhere
//# ExpectDynamic: ABSOLUTE weak at table
//# ExpectDynamic: RELATIVE at table+8 = near
//# ExpectDynamic: RELATIVE at table+16 = hidden
//# ExpectDynamic: ABSOLUTE elsewhere at table+24
//# ExpectValue: operand(f) = plt(weak)
//# ExpectValue: operand(f+8) = page(near)
        .text
        .globl f, hidden
        .weak weak
        .hidden hidden, elsewhere
f:      bl weak
        bl hidden
        adrp x0, near
        add x0, x0, :lo12:near
        ret
hidden: ret
weak:   ret
        .data
        .weak near
near:   .xword 2
        .globl table
table:  .xword weak, near, hidden, elsewhere
