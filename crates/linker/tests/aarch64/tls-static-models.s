// Local-exec code has the offset from the thread pointer in it, which differs from process to process.
//# ExpectError: a.o: .text+0x0: R_AARCH64_TLSLE_ADD_TPREL_HI12 against x: this TLS model needs a place in the static TLS block
//# ExpectError: .text+0x4: R_AARCH64_TLSLE_ADD_TPREL_LO12_NC against x: this
//# ExpectError: .text+0x8: R_AARCH64_TLSLE_ADD_TPREL_LO12 against x: this
//# ExpectError: .text+0xc: R_AARCH64_TLSLE_MOVW_TPREL_G2 against x: this
//# ExpectError: .text+0x10: R_AARCH64_TLSLE_MOVW_TPREL_G1 against x: this
//# ExpectError: .text+0x14: R_AARCH64_TLSLE_MOVW_TPREL_G1_NC against x: this
//# ExpectError: .text+0x18: R_AARCH64_TLSLE_MOVW_TPREL_G0 against x: this
//# ExpectError: .text+0x1c: R_AARCH64_TLSLE_MOVW_TPREL_G0_NC against x: this
//# ExpectError: .text+0x20: R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC against x: this
//# ExpectError: .text+0x24: R_AARCH64_TLSLE_LDST16_TPREL_LO12 against x: this
//# ExpectError: .text+0x28: R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC against x: this
//# ExpectError: .text+0x2c: R_AARCH64_TLSLE_LDST64_TPREL_LO12 against x: this
//# ExpectError: .text+0x30: R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC against x: this
        add x0, x0, :tprel_hi12:x
        add x0, x0, :tprel_lo12_nc:x
        add x0, x0, :tprel_lo12:x
        movz x0, #:tprel_g2:x
        movz x0, #:tprel_g1:x
        movk x0, #:tprel_g1_nc:x
        movz x0, #:tprel_g0:x
        movk x0, #:tprel_g0_nc:x
        ldrb w0, [x0, :tprel_lo12_nc:x]
        ldrh w0, [x0, :tprel_lo12:x]
        ldr w0, [x0, :tprel_lo12_nc:x]
        ldr x0, [x0, :tprel_lo12:x]
        ldr q0, [x0, :tprel_lo12_nc:x]
        .section .tdata,"awT",@progbits
        .globl x
x:      .zero 16
