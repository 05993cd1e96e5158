// Local-exec code that has no form with the offset from the GOT: moves of 16 bits of it, and what has the
// stack pointer for its base.
//# ExpectError: a.o: .text+0x0: R_AARCH64_TLSLE_MOVW_TPREL_G2 against x: this TLS model needs a place in the static TLS block
//# ExpectError: .text+0x4: R_AARCH64_TLSLE_MOVW_TPREL_G1 against x: this
//# ExpectError: .text+0x8: R_AARCH64_TLSLE_MOVW_TPREL_G1_NC against x: this
//# ExpectError: .text+0xc: R_AARCH64_TLSLE_MOVW_TPREL_G0 against x: this
//# ExpectError: .text+0x10: R_AARCH64_TLSLE_MOVW_TPREL_G0_NC against x: this
//# ExpectError: .text+0x14: R_AARCH64_TLSLE_ADD_TPREL_HI12 against x: this
//# ExpectError: .text+0x18: R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC against x: this
        movz x0, #:tprel_g2:x
        movz x0, #:tprel_g1:x
        movk x0, #:tprel_g1_nc:x
        movz x0, #:tprel_g0:x
        movk x0, #:tprel_g0_nc:x
        add x0, sp, :tprel_hi12:x
        ldrb w0, [sp, :tprel_lo12_nc:x]
        .section .tdata,"awT",@progbits
        .globl x
x:      .zero 16
