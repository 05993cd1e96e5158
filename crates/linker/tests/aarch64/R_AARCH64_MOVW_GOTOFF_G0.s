// G + A - GOT in 16-bit pieces, and S + A - GOT in data.
//# ExpectValue: start(.got) + operand(f) = got(second)
//# ExpectValue: start(.got) + operand(f+4) = got(second)
//# ExpectValue: operand(f+8) = 0
//# ExpectValue: operand(f+12) = 0
//# ExpectValue: operand(f+16) = 0
//# ExpectValue: operand(f+20) = 0
//# ExpectValue: operand(f+24) = 0
//# ExpectValue: operand(f+28) = -1
//# ExpectWord64: t = t - start(.got)
//# ExpectWord32: t+8 = f - start(.got) + 4
//# Object: first.o
        adrp x0, :got:import
//# Object: a.o
        .globl f, t
f:      .reloc ., R_AARCH64_MOVW_GOTOFF_G0, second
        movz x0, #0
        .reloc ., R_AARCH64_MOVW_GOTOFF_G0_NC, second
        movk x0, #0
        .reloc ., R_AARCH64_MOVW_GOTOFF_G1, second
        movz x0, #1, lsl #16
        .reloc ., R_AARCH64_MOVW_GOTOFF_G1_NC, second
        movk x0, #1, lsl #16
        .reloc ., R_AARCH64_MOVW_GOTOFF_G2, second
        movn x0, #1, lsl #32
        .reloc ., R_AARCH64_MOVW_GOTOFF_G2_NC, second
        movk x0, #1, lsl #32
        .reloc ., R_AARCH64_MOVW_GOTOFF_G3, second
        movz x0, #1, lsl #48
        .reloc ., R_AARCH64_MOVW_GOTOFF_G0, second-9
        movz x0, #0
        .section .rodata,"a"
        .balign 8
t:      .zero 12
        .reloc t, R_AARCH64_GOTREL64, t
        .reloc t+8, R_AARCH64_GOTREL32, f+4
