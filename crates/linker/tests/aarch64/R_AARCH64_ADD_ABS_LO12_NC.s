// The low 12 bits of S + A: an image moves by whole pages. Loads and stores of each size scale them.
//# ExpectValue: page(d) + operand(f) = d
//# ExpectValue: page(d+1) + operand(f+4) = d+1
//# ExpectValue: page(d+2) + operand(f+8) = d+2
//# ExpectValue: page(d+4) + operand(f+12) = d+4
//# ExpectValue: page(d+8) + operand(f+16) = d+8
//# ExpectValue: page(d+16) + operand(f+20) = d+16
//# ExpectValue: operand(f+24) = 0xff0
//# ExpectValue: operand(f+28) = 0x678
//# ExpectValue: operand(f+32) = 0xfff
//# ExpectWord32: f+36 = 0x91048c41
//# ExpectDynamicCount: 0
        .globl f, d
f:      add x0, x0, :lo12:d
        ldrb w1, [x0, :lo12:d+1]
        ldrh w1, [x0, :lo12:d+2]
        str w1, [x0, :lo12:d+4]
        ldr x1, [x0, :lo12:d+8]
        ldr q1, [x0, :lo12:d+16]
        .reloc ., R_AARCH64_LDST128_ABS_LO12_NC, 0x1ff0
        ldr q1, [x0]
        .reloc ., R_AARCH64_LDST64_ABS_LO12_NC, 0x12345678
        ldr x1, [x0]
        .reloc ., R_AARCH64_LDST8_ABS_LO12_NC, -1
        strb w1, [x0]
        // Bits of the instruction that are set already are cleared.
        .reloc ., R_AARCH64_ADD_ABS_LO12_NC, 0x123
        add x1, x2, #0xabc
        .data
        .balign 16
        .zero 0x7f0
d:      .zero 32
