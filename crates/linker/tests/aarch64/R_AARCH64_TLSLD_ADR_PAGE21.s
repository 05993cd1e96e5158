// One GOT pair for the image's block, and offsets in the block.
//# ExpectValue: operand(f) + operand(f+4) = tls_module()
//# ExpectValue: operand(f+8) = tls_module()
//# ExpectValue: operand(f+12) = tls_module()
//# ExpectValue: start(.got) + operand(f+16) + operand(f+20) = tls_module()
//# ExpectValue: x = 0x1230
//# ExpectValue: operand(f+24) + operand(f+28) = x
//# ExpectValue: operand(f+32) = 0x230
//# ExpectValue: operand(f+36) + operand(f+40) = x
//# ExpectValue: operand(f+44) + operand(f+48) = x
//# ExpectValue: operand(f+52) = 0
//# ExpectValue: operand(f+56) = 0x234
//# ExpectValue: operand(f+60) = 0x236
//# ExpectValue: operand(f+64) = 0x238
//# ExpectValue: operand(f+68) = 0x238
//# ExpectValue: operand(f+72) = 0x240
//# ExpectValue: operand(f+76) = 8
//# ExpectValue: operand(f+80) = 9
//# ExpectValue: operand(f+84) = 0xa
//# ExpectValue: operand(f+88) = 0xc
//# ExpectValue: operand(f+92) = 0x10
//# ExpectValue: operand(f+96) = 0x20
//# ExpectDynamic: TLS_MODULE . at tls_module()
//# ExpectWord64: tls_module()+8 = 0
//# ExpectDynamicCount: 1
        .globl f, x
f:      .reloc ., R_AARCH64_TLSLD_ADR_PAGE21, x
        adrp x0, #0
        .reloc ., R_AARCH64_TLSLD_ADD_LO12_NC, x
        add x0, x0, #0
        .reloc ., R_AARCH64_TLSLD_ADR_PREL21, x
        adr x0, #0
        .reloc ., R_AARCH64_TLSLD_LD_PREL19, x
        ldr x0, #0
        .reloc ., R_AARCH64_TLSLD_MOVW_G1, x
        movz x0, #0, lsl #16
        .reloc ., R_AARCH64_TLSLD_MOVW_G0_NC, x
        movk x0, #0
        add x1, x0, :dtprel_hi12:x
        add x1, x1, :dtprel_lo12_nc:x
        ldrb w1, [x1, :dtprel_lo12_nc:x]
        movz x1, #:dtprel_g1:x
        movk x1, #:dtprel_g0_nc:x
        movz x1, #:dtprel_g0:x
        movk x1, #:dtprel_g1_nc:x
        movz x1, #:dtprel_g2:x
        ldrb w1, [x1, :dtprel_lo12_nc:x+4]
        ldrh w1, [x1, :dtprel_lo12_nc:x+6]
        ldr w1, [x1, :dtprel_lo12_nc:x+8]
        ldr x1, [x1, :dtprel_lo12_nc:x+8]
        .reloc ., R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC, x+16
        ldr q1, [x1]
        add x1, x1, :dtprel_lo12:low
        ldrb w1, [x1, :dtprel_lo12:low+1]
        ldrh w1, [x1, :dtprel_lo12:low+2]
        ldr w1, [x1, :dtprel_lo12:low+4]
        ldr x1, [x1, :dtprel_lo12:low+8]
        .reloc ., R_AARCH64_TLSLD_LDST128_DTPREL_LO12, low+24
        ldr q1, [x1]
        .section .tdata,"awT",@progbits
        .balign 16
        .zero 8
low:    .zero 0x1228
x:      .zero 32
