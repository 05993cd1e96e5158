// One past each edge of what counts from the place, and values between the steps of an instruction.
//# ExpectError: R_AARCH64_PREL32 against .text.prel32 out of range: 0x100000000 not in [-2^31, 2^32)
//# ExpectError: R_AARCH64_PREL32 against .text.prel32b out of range: -0x80000001 not in
//# ExpectError: R_AARCH64_PREL16 against .text.prel16 out of range: 0x10000 not in [-2^15, 2^16)
//# ExpectError: R_AARCH64_PREL16 against .text.prel16b out of range: -0x8001 not in
//# ExpectError: R_AARCH64_PLT32 against f out of range: 0x80000000 not in [-2^31, 2^31)
//# ExpectError: R_AARCH64_LD_PREL_LO19 against .text.literal out of range: 0x100000 not in the multiples of 4 in [-2^20, 2^20)
//# ExpectError: R_AARCH64_LD_PREL_LO19 against .text.literalb out of range: -0x100004 not in
//# ExpectError: R_AARCH64_LD_PREL_LO19 against .text.literalc out of range: 0x2 not in
//# ExpectError: R_AARCH64_ADR_PREL_LO21 against .text.adr out of range: 0x100000 not in [-2^20, 2^20)
//# ExpectError: R_AARCH64_ADR_PREL_LO21 against .text.adrb out of range: -0x100001 not in
//# ExpectError: R_AARCH64_ADR_PREL_PG_HI21 against .text.adrp out of range: 0x100000000 not in [-2^32, 2^32)
//# ExpectError: R_AARCH64_ADR_PREL_PG_HI21 against .text.adrpb out of range: -0x100001000 not in
//# ExpectError: R_AARCH64_MOVW_PREL_G0 against .text.g0 out of range: 0x10000 not in [-2^16, 2^16)
//# ExpectError: R_AARCH64_MOVW_PREL_G0 against .text.g0b out of range: -0x10001 not in
//# ExpectError: R_AARCH64_MOVW_PREL_G1 against .text.g1 out of range: 0x100000000 not in [-2^32, 2^32)
//# ExpectError: R_AARCH64_MOVW_PREL_G1 against .text.g1b out of range: -0x100000001 not in
//# ExpectError: R_AARCH64_MOVW_PREL_G2 against .text.g2 out of range: 0x1000000000000 not in [-2^48, 2^48)
//# ExpectError: R_AARCH64_MOVW_PREL_G2 against .text.g2b out of range: -0x1000000000001 not in
        .macro at name, type, distance
        .section .text.\name,"ax"
        .balign 4096
        .zero 8
        .reloc .text.\name, \type, .text.\name+\distance
        .endm
        at prel32, R_AARCH64_PREL32, 0x100000000
        at prel32b, R_AARCH64_PREL32, -0x80000001
        at prel16, R_AARCH64_PREL16, 0x10000
        at prel16b, R_AARCH64_PREL16, -0x8001
        .section .text.plt32,"ax"
        .globl f
f:      .zero 8
        .reloc f, R_AARCH64_PLT32, f+0x80000000
        at literal, R_AARCH64_LD_PREL_LO19, 0x100000
        at literalb, R_AARCH64_LD_PREL_LO19, -0x100004
        at literalc, R_AARCH64_LD_PREL_LO19, 2
        at adr, R_AARCH64_ADR_PREL_LO21, 0x100000
        at adrb, R_AARCH64_ADR_PREL_LO21, -0x100001
        at adrp, R_AARCH64_ADR_PREL_PG_HI21, 0x100000000
        at adrpb, R_AARCH64_ADR_PREL_PG_HI21, -0x100000001
        at g0, R_AARCH64_MOVW_PREL_G0, 0x10000
        at g0b, R_AARCH64_MOVW_PREL_G0, -0x10001
        at g1, R_AARCH64_MOVW_PREL_G1, 0x100000000
        at g1b, R_AARCH64_MOVW_PREL_G1, -0x100000001
        at g2, R_AARCH64_MOVW_PREL_G2, 0x1000000000000
        at g2b, R_AARCH64_MOVW_PREL_G2, -0x1000000000001
