// A label without a type in a thread-local section names a thread-local variable.
//# ExpectSymbol: x type=TLS
//# ExpectValue: x = 8
        .section .tdata,"awT",@progbits
        .quad 1
        .globl x
        .type x, @notype
x:      .quad 2
