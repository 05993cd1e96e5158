// Constant in one object and writable in another: still one section, or its bounds would leave out members.
//# ExpectValue: f + 7 + word32(f+3) = start(my_table)
//# ExpectValue: f + 14 + word32(f+10) = end(my_table)
//# ExpectValue: end(my_table) - start(my_table) = 24
//# ExpectWord64: start(my_table) = 1
//# ExpectWord64: start(my_table)+8 = 2
//# ExpectDynamic: RELATIVE at start(my_table)+16 = f
        .globl f
f:      lea __start_my_table(%rip), %rax
        lea __stop_my_table(%rip), %rax
        .section my_table,"a",@progbits
        .quad 1
//# Object: b.o
        .section my_table,"aw",@progbits
        .quad 2
        .quad f
