// Tables of the old form run backwards, and a higher number in their names means earlier.
//# ExpectInit: first second early late
//# ExpectFini: d_late d_early
//# ExpectNoSection: .ctors
//# ExpectNoSection: .dtors
        .globl early, late, first, second, d_early, d_late
first:  ret
second: ret
early:  ret
late:   ret
d_early: ret
d_late: ret
        .section .ctors,"aw",@progbits
        .quad late, early
        .section .ctors.65000,"aw",@progbits
        .quad second
        .section .init_array.00200,"aw",@init_array
        .quad first
        .section .dtors,"aw",@progbits
        .quad d_early, d_late
