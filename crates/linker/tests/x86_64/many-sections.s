// More sections than 16 bits count: indices are in tables of their own.
//# ExpectValue: end(.text) - start(.text) = 66000
//# ExpectValue: last - start(.text) = 65999
//# ExpectBytes: last = c3
        .altmacro
        .macro one n
        .section .text.f\n,"ax",@progbits
        ret
        .endm
        .set n, 0
        .rept 65999
        one %n
        .set n, n+1
        .endr
        .section .text.last,"ax",@progbits
        .globl last
last:   ret
