// Zeroed thread-local sections of two names do not share an offset.
//# ExpectValue: x = 0
//# ExpectValue: y = 8
//# ExpectValue: z = 24
//# ExpectValue: tls_size() = 32
        .globl x, y, z
        .section .tdata,"awT",@progbits
x:      .quad 3
        .section .tbss,"awT",@nobits
y:      .zero 16
        .section other,"awT",@nobits
z:      .zero 8
