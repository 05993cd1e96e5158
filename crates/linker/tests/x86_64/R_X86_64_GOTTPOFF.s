// The initial-exec model: a GOT word for each variable, which gets its distance from the thread pointer at load.
//# ExpectWord32: f+3 = tls_offset(own) - (f+3) - 4
//# ExpectWord32: f+10 = tls_offset(import) - (f+10) - 4
//# ExpectDynamic: TLS_POINTER_OFFSET . at tls_offset(own) = own
//# ExpectDynamic: TLS_POINTER_OFFSET import at tls_offset(import)
//# ExpectImport: import tls
//# ExpectValue: own = 8
//# ExpectDynamicCount: 2
        .globl f, own
f:      movq own@GOTTPOFF(%rip), %rax
        addq import@GOTTPOFF(%rip), %rcx
        ret
        .section .tdata,"awT",@progbits
        .quad 1
own:    .quad 2
