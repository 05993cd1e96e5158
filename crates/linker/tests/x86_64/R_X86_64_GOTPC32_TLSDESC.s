// The GOT pair of a TLS descriptor; what marks the call through it writes nothing.
//# ExpectWord32: f+3 = tls_descriptor(own) - (f+3) - 4
//# ExpectBytes: f+7 = ff 10
//# ExpectWord32: f+12 = tls_descriptor(import) - (f+12) - 4
//# ExpectDynamic: TLS_DESCRIPTOR . at tls_descriptor(own) = own
//# ExpectDynamic: TLS_DESCRIPTOR import at tls_descriptor(import)
//# ExpectImport: import tls
//# ExpectValue: own = 8
//# ExpectValue: end(.got) - start(.got) = 32
//# ExpectDynamicCount: 2
        .globl f, own
f:      leaq own@TLSDESC(%rip), %rax
        call *own@TLSCALL(%rax)
        leaq import@TLSDESC(%rip), %rax
        call *import@TLSCALL(%rax)
        ret
        .section .tdata,"awT",@progbits
        .quad 1
own:    .quad 2
