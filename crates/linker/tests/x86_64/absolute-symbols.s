// SHN_ABS: a number that does not move, also for other objects and in the GOT.
//# ExpectSymbol: number section=ABS
//# ExpectValue: number = 0x1234
//# ExpectWord64: table = 0x1234 + 1
//# ExpectWord64: table+8 = 0x99
//# ExpectWord64: got(number) = 0x1234
//# ExpectDynamicCount: 0
        .globl number, local_number
number = 0x1234
        .hidden local_number
local_number = 0x99
//# Object: b.o
        .globl table, f
f:      cmpq number@GOTPCREL(%rip), %rax
        .data
table:  .quad number+1, local_number
