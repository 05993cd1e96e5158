// S + A - P in 16-bit pieces: the sign chooses `movz` or `movn`, `movk` stays what it is.
//# ExpectValue: operand(f) = 0xffff
//# ExpectValue: operand(f+4) = -0x10000
//# ExpectWord32: f+8 = 0xf2aacf00
//# ExpectValue: operand(f+12) = 0xffff0000
//# ExpectWord32: f+16 = 0x92bfffe0
//# ExpectWord32: f+20 = 0xf2a2468a
//# ExpectWord32: f+24 = 0xd2dfffe0
//# ExpectWord32: f+28 = 0x92dfffe0
//# ExpectWord32: f+32 = 0xf2c2468a
//# ExpectWord32: f+36 = 0x92e00000
//# ExpectWord32: f+40 = 0xf2ffffe0
//# ExpectWord32: f+44 = 0xd2e00000
        .globl f
f:      .reloc ., R_AARCH64_MOVW_PREL_G0, f+0xffff
        movz x0, #0
        .reloc ., R_AARCH64_MOVW_PREL_G0, f+4-0x10000
        movz x0, #0
        .reloc ., R_AARCH64_MOVW_PREL_G0_NC, f+8+0x12345678
        movk x0, #0, lsl #16
        .reloc ., R_AARCH64_MOVW_PREL_G1, f+12+0xffffffff
        movz x0, #0, lsl #16
        .reloc ., R_AARCH64_MOVW_PREL_G1, f+16-0x100000000
        movz x0, #0, lsl #16
        .reloc ., R_AARCH64_MOVW_PREL_G1_NC, f+20+0x12345678
        movk x10, #0, lsl #16
        .reloc ., R_AARCH64_MOVW_PREL_G2, f+24+0xffffffffffff
        movz x0, #0, lsl #32
        .reloc ., R_AARCH64_MOVW_PREL_G2, f+28-0x1000000000000
        movz x0, #0, lsl #32
        .reloc ., R_AARCH64_MOVW_PREL_G2_NC, f+32+0x123400000000
        movk x10, #0, lsl #32
        .reloc ., R_AARCH64_MOVW_PREL_G3, f+36-1
        movz x0, #0, lsl #48
        .reloc ., R_AARCH64_MOVW_PREL_G3, f+40-1
        movk x0, #0, lsl #48
        .reloc ., R_AARCH64_MOVW_PREL_G3, f+44+1
        movn x0, #0, lsl #48
