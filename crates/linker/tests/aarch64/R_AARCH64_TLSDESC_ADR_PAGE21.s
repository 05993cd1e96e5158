// The GOT pair of a TLS descriptor, by every way to it; what marks the sequence writes nothing.
//# ExpectValue: operand(f) + operand(f+4) = tls_descriptor(own)
//# ExpectValue: operand(f) + operand(f+8) = tls_descriptor(own)
//# ExpectWord32: f+12 = 0xd63f0020
//# ExpectValue: operand(f+16) + operand(f+20) = tls_descriptor(import)
//# ExpectValue: operand(f+16) + operand(f+24) = tls_descriptor(import)
//# ExpectValue: operand(f+32) = tls_descriptor(own)
//# ExpectValue: operand(f+36) = tls_descriptor(import)
//# ExpectValue: start(.got) + operand(f+40) + operand(f+44) = tls_descriptor(import)
//# ExpectWord32: f+48 = 0xf8626801
//# ExpectWord32: f+52 = 0x8b020000
//# ExpectValue: operand(f+56) + operand(f+60) = tls_descriptor()
//# ExpectDynamic: TLS_DESCRIPTOR . at tls_descriptor(own) = own
//# ExpectDynamic: TLS_DESCRIPTOR import at tls_descriptor(import)
//# ExpectDynamic: TLS_DESCRIPTOR . at tls_descriptor() = 0
//# ExpectImport: import tls
//# ExpectNoSymbol: _TLS_MODULE_BASE_
//# ExpectValue: own = 8
//# ExpectDynamicCount: 3
//# ExpectValue: end(.got) - start(.got) = 48
        .globl f, own
        .macro descriptor name
        adrp x0, :tlsdesc:\name
        ldr x1, [x0, :tlsdesc_lo12:\name]
        add x0, x0, :tlsdesc_lo12:\name
        .tlsdesccall \name
        blr x1
        .endm
f:      descriptor own
        descriptor import
        .reloc ., R_AARCH64_TLSDESC_LD_PREL19, own
        ldr x1, #0
        .reloc ., R_AARCH64_TLSDESC_ADR_PREL21, import
        adr x0, #0
        .reloc ., R_AARCH64_TLSDESC_OFF_G1, import
        movz x2, #0, lsl #16
        .reloc ., R_AARCH64_TLSDESC_OFF_G0_NC, import
        movk x2, #0
        .reloc ., R_AARCH64_TLSDESC_LDR, import
        ldr x1, [x0, x2]
        .reloc ., R_AARCH64_TLSDESC_ADD, import
        add x0, x0, x2
        descriptor _TLS_MODULE_BASE_
        .section .tdata,"awT",@progbits
        .quad 1
own:    .quad 2
