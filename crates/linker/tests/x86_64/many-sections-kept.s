// More sections than 16 bits count in the image too, because each has a name of its own.
//# ExpectSection: set_65999
//# ExpectBytes: f = c3
//# ExpectSymbol: f section=.text
        .globl f
f:      ret
        .altmacro
        .macro one n
        .section set_\n,"aw",@progbits
        .byte 1
        .endm
        .set n, 0
        .rept 66000
        one %n
        .set n, n+1
        .endr
