// One pair for the image, and offsets in its block: data, zeroed and aligned variables of two objects.
//# ExpectWord32: f+3 = tls_module() - (f+3) - 4
//# ExpectWord32: f+15 = b
//# ExpectWord32: f+22 = z
//# ExpectWord64: words = a
//# ExpectWord64: words+8 = aligned + 4
//# ExpectDynamic: TLS_MODULE . at tls_module()
//# ExpectWord64: tls_module()+8 = 0
//# ExpectValue: a = 0
//# ExpectValue: b = 8
//# ExpectValue: z = 64
//# ExpectValue: aligned = 128
//# ExpectValue: tls_align() = 64
//# ExpectValue: tls_size() = 192
//# ExpectWord32: tls_start() + b = 7
//# ExpectSymbol: z section=.tbss type=TLS
//# ExpectSymbol: b section=.tdata type=TLS
        .globl f, a, z, words
f:      leaq a@TLSLD(%rip), %rdi
        call __tls_get_addr@PLT
        leaq b@DTPOFF(%rax), %rcx
        leaq z@DTPOFF(%rax), %rcx
        .section .tdata,"awT",@progbits
a:      .quad 5
        .section .tbss,"awT",@nobits
z:      .zero 4
        .data
        .balign 8
words:  .quad a@DTPOFF, aligned@DTPOFF+4
//# Object: b.o
        .globl b, aligned
        .section .tdata,"awT",@progbits
b:      .long 7
        .section .tbss,"awT",@nobits
        .balign 64
aligned: .zero 64
