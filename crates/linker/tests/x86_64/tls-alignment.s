// The largest alignment of a block.
//# ExpectValue: tls_align() = 65536
//# ExpectValue: x = 65536
        .section .tdata,"awT",@progbits
        .quad 1
        .section .tbss,"awT",@nobits
        .balign 0x10000
        .globl x
x:      .quad 0
