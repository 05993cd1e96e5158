// Equal constants are one. Code that reads a part of one, through a symbol or with an addend, reads
// that part.
//# ExpectValue: one = again
//# ExpectValue: two = other
//# ExpectValue: two - one = 16
//# ExpectWord32: code + 3 = one - (code + 7)
//# ExpectWord32: code + 10 = two + 8 - (code + 14)
//# ExpectWord32: far + 3 = two + 4 - (far + 7)
//# ExpectValue: end(.rodata) - start(.rodata) = 32

    .section .rodata.cst16, "aM", @progbits, 16
    .globl one, two
one:
    .quad 1, 1
two:
    .quad 2, 2

    .text
    .globl code
code:
    leaq one(%rip), %rax
    leaq two+8(%rip), %rax

//# Object: b.o
    .section .rodata.cst16, "aM", @progbits, 16
    .globl other, again
other:
    .quad 2, 2
again:
    .quad 1, 1

    .text
    .globl far
far:
    leaq other+4(%rip), %rax
