// S + A, as wide as an address: moved with the image, bound at load, or a number.
//# ExpectDynamic: RELATIVE at d = d+16
//# ExpectDynamic: ABSOLUTE import+8 at d+8
//# ExpectWord64: d+16 = 77
//# ExpectWord64: d+24 = -2
//# ExpectDynamic: RELATIVE at d+33 = d
//# ExpectDynamicCount: 3
        .globl d, number
number = 77
        .data
d:      .quad d+16
        .quad import+8
        .quad number
        .reloc ., R_AARCH64_ABS64, -2
        .quad 0
        .byte 0
        .quad d
