// A GOT pair for each variable: own module and offset, or both from the import.
//# ExpectWord32: f+4 = tls_pair(own) - (f+4) - 4
//# ExpectWord32: f+12 = plt(__tls_get_addr) - (f+12) - 4
//# ExpectWord32: f+20 = tls_pair(import) - (f+20) - 4
//# ExpectDynamic: TLS_MODULE . at tls_pair(own)
//# ExpectWord64: tls_pair(own)+8 = own
//# ExpectDynamic: TLS_MODULE import at tls_pair(import)
//# ExpectDynamic: TLS_OFFSET import at tls_pair(import)+8
//# ExpectImport: import tls
//# ExpectImport: __tls_get_addr
//# ExpectSymbol: own type=TLS section=.tdata
//# ExpectValue: own = 8
//# ExpectDynamicCount: 4
        .globl f, own
f:      .byte 0x66
        leaq own@TLSGD(%rip), %rdi
        .byte 0x66, 0x66, 0x48
        call __tls_get_addr@PLT
        .byte 0x66
        leaq import@TLSGD(%rip), %rdi
        .byte 0x66, 0x66, 0x48
        call __tls_get_addr@PLT
        .section .tdata,"awT",@progbits
        .quad 1
own:    .quad 2
