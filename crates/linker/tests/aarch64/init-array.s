// Constructors in the order of their priorities.
//# ExpectInit: first second last
//# ExpectFini: last
//# ExpectDynamicCount: 4
        .globl first, second, last
first:  ret
second: ret
last:   ret
        .section .init_array,"aw",@init_array
        .xword last
        .section .init_array.00200,"aw",@init_array
        .xword second
        .section .init_array.00101,"aw",@init_array
        .xword first
        .section .fini_array,"aw",@fini_array
        .xword last
