// One past each edge of numbers, and numbers between the steps of an instruction.
//# ExpectError: .text.a+0x0: R_AARCH64_ABS32 against no symbol out of range: 0x100000000 not in [-2^31, 2^32)
//# ExpectError: .text.b+0x0: R_AARCH64_ABS32 against no symbol out of range: -0x80000001 not in
//# ExpectError: .text.c+0x0: R_AARCH64_ABS16 against no symbol out of range: 0x10000 not in [-2^15, 2^16)
//# ExpectError: .text.d+0x0: R_AARCH64_ABS16 against no symbol out of range: -0x8001 not in
//# ExpectError: .text.e+0x0: R_AARCH64_MOVW_UABS_G0 against no symbol out of range: 0x10000 not in [0, 2^16)
//# ExpectError: .text.f+0x0: R_AARCH64_MOVW_UABS_G0 against no symbol out of range: -0x1 not in
//# ExpectError: .text.g+0x0: R_AARCH64_MOVW_UABS_G1 against no symbol out of range: 0x100000000 not in [0, 2^32)
//# ExpectError: .text.h+0x0: R_AARCH64_MOVW_UABS_G2 against no symbol out of range: 0x1000000000000 not in [0, 2^48)
//# ExpectError: .text.i+0x0: R_AARCH64_MOVW_SABS_G0 against no symbol out of range: -0x10001 not in [-2^16, 2^16)
//# ExpectError: .text.j+0x0: R_AARCH64_MOVW_SABS_G1 against no symbol out of range: 0x100000000 not in [-2^32, 2^32)
//# ExpectError: .text.k+0x0: R_AARCH64_MOVW_SABS_G2 against no symbol out of range: 0x1000000000000 not in [-2^48, 2^48)
//# ExpectError: .text.l+0x0: R_AARCH64_LDST16_ABS_LO12_NC against no symbol out of range: 0x1 not in the multiples of 2
//# ExpectError: .text.m+0x0: R_AARCH64_LDST32_ABS_LO12_NC against no symbol out of range: 0x2 not in the multiples of 4
//# ExpectError: .text.n+0x0: R_AARCH64_LDST64_ABS_LO12_NC against no symbol out of range: 0x4 not in the multiples of 8
//# ExpectError: .text.o+0x0: R_AARCH64_LDST128_ABS_LO12_NC against no symbol out of range: 0x8 not in the multiples of 16
        .macro number name, type, value
        .section .text.\name,"ax"
        .zero 8
        .reloc .text.\name, \type, \value
        .endm
        number a, R_AARCH64_ABS32, 0x100000000
        number b, R_AARCH64_ABS32, -0x80000001
        number c, R_AARCH64_ABS16, 0x10000
        number d, R_AARCH64_ABS16, -0x8001
        number e, R_AARCH64_MOVW_UABS_G0, 0x10000
        number f, R_AARCH64_MOVW_UABS_G0, -1
        number g, R_AARCH64_MOVW_UABS_G1, 0x100000000
        number h, R_AARCH64_MOVW_UABS_G2, 0x1000000000000
        number i, R_AARCH64_MOVW_SABS_G0, -0x10001
        number j, R_AARCH64_MOVW_SABS_G1, 0x100000000
        number k, R_AARCH64_MOVW_SABS_G2, 0x1000000000000
        number l, R_AARCH64_LDST16_ABS_LO12_NC, 1
        number m, R_AARCH64_LDST32_ABS_LO12_NC, 2
        number n, R_AARCH64_LDST64_ABS_LO12_NC, 4
        number o, R_AARCH64_LDST128_ABS_LO12_NC, 8
