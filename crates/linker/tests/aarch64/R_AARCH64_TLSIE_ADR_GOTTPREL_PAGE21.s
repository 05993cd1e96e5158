// The GOT word with the offset from the thread pointer, by every way to it.
//# ExpectValue: operand(f) + operand(f+4) = tls_offset(own)
//# ExpectValue: operand(f+8) + operand(f+12) = tls_offset(import)
//# ExpectValue: operand(f+16) = tls_offset(own)
//# ExpectValue: start(.got) + operand(f+20) + operand(f+24) = tls_offset(import)
//# ExpectDynamic: TLS_POINTER_OFFSET . at tls_offset(own) = own
//# ExpectDynamic: TLS_POINTER_OFFSET import at tls_offset(import)
//# ExpectImport: import tls
//# ExpectValue: own = 8
//# ExpectDynamicCount: 2
//# ExpectValue: end(.got) - start(.got) = 16
        .globl f, own
f:      adrp x0, :gottprel:own
        ldr x0, [x0, :gottprel_lo12:own]
        adrp x0, :gottprel:import
        ldr x0, [x0, :gottprel_lo12:import]
        ldr x0, :gottprel:own
        .reloc ., R_AARCH64_TLSIE_MOVW_GOTTPREL_G1, import
        movz x0, #0, lsl #16
        .reloc ., R_AARCH64_TLSIE_MOVW_GOTTPREL_G0_NC, import
        movk x0, #0
        .section .tdata,"awT",@progbits
        .quad 1
own:    .quad 2
