// S + A of numbers in 16-bit pieces: `movz` and `movk` keep their instruction, signed ones become `movz` or `movn`.
//# ExpectValue: operand(f) = 0xffff
//# ExpectValue: operand(f+4) = 0x5678
//# ExpectValue: operand(f+8) = 0xffff0000
//# ExpectValue: operand(f+12) = 0x12340000
//# ExpectValue: operand(f+16) = 0xffff00000000
//# ExpectValue: operand(f+20) = 0x432100000000
//# ExpectValue: operand(f+24) = 0x8765000000000000
//# ExpectWord32: f+28 = 0xd29fffe1
//# ExpectWord32: f+32 = 0x929fffe1
//# ExpectWord32: f+36 = 0xd2bfffe1
//# ExpectWord32: f+40 = 0x92bfffe1
//# ExpectWord32: f+44 = 0xd2dfffe1
//# ExpectWord32: f+48 = 0x92dfffe1
//# ExpectWord32: f+52 = 0xd2800541
        .globl f, number
number = 42
f:      movz x0, #:abs_g0:0xffff
        .reloc ., R_AARCH64_MOVW_UABS_G0_NC, 0x8765432112345678
        movk x0, #0
        .reloc ., R_AARCH64_MOVW_UABS_G1, 0xffffffff
        movz x0, #0, lsl #16
        .reloc ., R_AARCH64_MOVW_UABS_G1_NC, 0x8765432112345678
        movk x0, #0, lsl #16
        .reloc ., R_AARCH64_MOVW_UABS_G2, 0xffffffffffff
        movz x0, #0, lsl #32
        .reloc ., R_AARCH64_MOVW_UABS_G2_NC, 0x8765432112345678
        movk x0, #0, lsl #32
        .reloc ., R_AARCH64_MOVW_UABS_G3, 0x8765432112345678
        movz x0, #0, lsl #48
        .reloc ., R_AARCH64_MOVW_SABS_G0, 0xffff
        movz x1, #0
        .reloc ., R_AARCH64_MOVW_SABS_G0, -0x10000
        movz x1, #0
        .reloc ., R_AARCH64_MOVW_SABS_G1, 0xffffffff
        movz x1, #0, lsl #16
        .reloc ., R_AARCH64_MOVW_SABS_G1, -0x100000000
        movz x1, #0, lsl #16
        .reloc ., R_AARCH64_MOVW_SABS_G2, 0xffffffffffff
        movz x1, #0, lsl #32
        .reloc ., R_AARCH64_MOVW_SABS_G2, -0x1000000000000
        movz x1, #0, lsl #32
        movn x1, #:abs_g0_s:number
