// Constructors and destructors by priority, those without one last, each in the order of the objects.
//# ExpectInit: early early_b middle late late_b
//# ExpectFini: early late
//# ExpectValue: f + 7 + word32(f+3) = start(.init_array)
//# ExpectValue: f + 14 + word32(f+10) = end(.init_array)
        .globl early, middle, late, f
early:  ret
middle: ret
late:   ret
f:      lea __init_array_start(%rip), %rax
        lea __init_array_end(%rip), %rax
        .section .init_array,"aw",@init_array
        .quad late
        .section .init_array.00200,"aw",@init_array
        .quad middle
        .section .init_array.101,"aw",@init_array
        .quad early
        .section .fini_array,"aw",@fini_array
        .quad late
        .section .fini_array.00101,"aw",@fini_array
        .quad early
//# Object: b.o
        .globl early_b, late_b
early_b: ret
late_b: ret
        .section .init_array.00101,"aw",@init_array
        .quad early_b
        .section .init_array,"aw",@progbits
        .quad late_b
