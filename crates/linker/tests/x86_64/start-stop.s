// __start_ and __stop_ are the bounds of the section in the image, with the members of all objects.
//# ExpectValue: f + 7 + word32(f+3) = start(my_table)
//# ExpectValue: f + 14 + word32(f+10) = end(my_table)
//# ExpectValue: end(my_table) - start(my_table) = 40
//# ExpectWord64: start(my_table) = 1
//# ExpectWord64: start(my_table)+32 = 3
//# ExpectDynamic: RELATIVE at bounds = start(my_table)
//# ExpectDynamic: RELATIVE at bounds+8 = end(my_table)
//# ExpectImport: __start_absent weak
//# ExpectNoSymbol: __start_my_table
        .globl f, bounds
        .weak __start_absent
f:      lea __start_my_table(%rip), %rax
        lea __stop_my_table(%rip), %rax
        .section my_table,"aw",@progbits
        .quad 1, 2
        .data
        .balign 8
bounds: .quad __start_my_table, __stop_my_table, __start_absent
//# Object: b.o
        .section my_table,"aw",@progbits
        .byte 7
        .balign 16
        .quad 3
