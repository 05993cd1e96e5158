// Offsets in the TLS block that are too large for one instruction, or between its steps.
//# ExpectError: .text.a+0x0: R_AARCH64_TLSLD_ADD_DTPREL_LO12 against x out of range: 0x1000 not in [0, 2^12)
//# ExpectError: .text.b+0x0: R_AARCH64_TLSLD_LDST8_DTPREL_LO12 against x out of range: 0x1000 not in [0, 2^12)
//# ExpectError: .text.c+0x0: R_AARCH64_TLSLD_LDST16_DTPREL_LO12 against x out of range: 0x1000 not in the multiples of 2 in [0, 2^12)
//# ExpectError: .text.d+0x0: R_AARCH64_TLSLD_LDST64_DTPREL_LO12 against x out of range: 0x1000 not in the multiples of 8 in [0, 2^12)
//# ExpectError: .text.e+0x0: R_AARCH64_TLSLD_LDST128_DTPREL_LO12 against x out of range: 0x1000 not in the multiples of 16 in [0, 2^12)
//# ExpectError: .text.f+0x0: R_AARCH64_TLSLD_LDST64_DTPREL_LO12_NC against x out of range: 0x1004 not in the multiples of 8
//# ExpectError: .text.g+0x0: R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC against x out of range: 0x1008 not in the multiples of 16
//# ExpectError: .text.h+0x0: R_AARCH64_TLSLD_ADD_DTPREL_HI12 against x out of range: 0x1000000 not in [0, 2^24)
//# ExpectError: .text.i+0x0: R_AARCH64_TLSLD_MOVW_DTPREL_G0 against x out of range: 0x10000 not in [-2^16, 2^16)
//# ExpectError: .text.j+0x0: R_AARCH64_TLSLD_MOVW_DTPREL_G1 against x out of range: 0x100000000 not in [-2^32, 2^32)
//# ExpectError: .text.k+0x0: R_AARCH64_TLSLD_MOVW_DTPREL_G2 against x out of range: 0x1000000000000 not in [-2^48, 2^48)
        .macro offset name, type, addend=0
        .section .text.\name,"ax"
        .zero 8
        .reloc .text.\name, R_AARCH64_TLSLD_\type, x+\addend
        .endm
        offset a, ADD_DTPREL_LO12
        offset b, LDST8_DTPREL_LO12
        offset c, LDST16_DTPREL_LO12
        offset d, LDST64_DTPREL_LO12
        offset e, LDST128_DTPREL_LO12
        offset f, LDST64_DTPREL_LO12_NC, 4
        offset g, LDST128_DTPREL_LO12_NC, 8
        offset h, ADD_DTPREL_HI12, 0xfff000
        offset i, MOVW_DTPREL_G0, 0xf000
        offset j, MOVW_DTPREL_G1, 0xfffff000
        offset k, MOVW_DTPREL_G2, 0xfffffffff000
        .section .tdata,"awT",@progbits
        .globl x
        .zero 0x1000
x:      .zero 32
