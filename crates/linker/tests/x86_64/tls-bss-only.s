// A template of zeroes takes neither bytes of the file nor addresses.
//# ExpectValue: tls_size() = 0x101000
//# ExpectValue: x = 0
//# ExpectValue: y = 0x100000
//# ExpectValue: tls_align() = 4096
//# ExpectWord64: tls_pair(y)+8 = y
//# ExpectWord64: variable = 42
        .globl f, x, y, variable
f:      .byte 0x66
        leaq y@TLSGD(%rip), %rdi
        .byte 0x66, 0x66, 0x48
        call __tls_get_addr@PLT
        .section .tbss,"awT",@nobits
        .balign 4096
x:      .zero 0x100000
y:      .zero 4096
        .data
variable: .quad 42
