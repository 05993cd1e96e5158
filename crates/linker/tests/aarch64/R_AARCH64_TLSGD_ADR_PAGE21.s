// A GOT pair for each variable, by every way to its address.
//# ExpectValue: operand(f) + operand(f+4) = tls_pair(own)
//# ExpectValue: operand(f+8) = plt(__tls_get_addr)
//# ExpectValue: operand(f+12) + operand(f+16) = tls_pair(import)
//# ExpectValue: operand(f+20) = tls_pair(own)
//# ExpectValue: start(.got) + operand(f+24) + operand(f+28) = tls_pair(import)
//# ExpectDynamic: TLS_MODULE . at tls_pair(own)
//# ExpectWord64: tls_pair(own)+8 = own
//# ExpectDynamic: TLS_MODULE import at tls_pair(import)
//# ExpectDynamic: TLS_OFFSET import at tls_pair(import)+8
//# ExpectImport: import tls
//# ExpectValue: own = 8
//# ExpectDynamicCount: 4
        .macro pair name
        .reloc ., R_AARCH64_TLSGD_ADR_PAGE21, \name
        adrp x0, #0
        .reloc ., R_AARCH64_TLSGD_ADD_LO12_NC, \name
        add x0, x0, #0
        .endm
        .globl f, own
f:      pair own
        bl __tls_get_addr
        pair import
        .reloc ., R_AARCH64_TLSGD_ADR_PREL21, own
        adr x0, #0
        .reloc ., R_AARCH64_TLSGD_MOVW_G1, import
        movz x0, #0, lsl #16
        .reloc ., R_AARCH64_TLSGD_MOVW_G0_NC, import
        movk x0, #0
        .section .tdata,"awT",@progbits
        .quad 1
own:    .quad 2
