// Zeroed sections of names that data has: zeroed in memory, and no bytes in the file.
//# ExpectSymbol: zero section=.bss
//# ExpectSymbol: own section=own_zero
//# ExpectSymbol: after section=.data
//# ExpectWord64: after = 7
//# ExpectWord64: zero = 0
        .globl zero, own, after
        .section .data.zero,"aw",@nobits
zero:   .zero 0x10000000
        .section own_zero,"aw",@nobits
own:    .zero 100
        .data
after:  .quad 7
