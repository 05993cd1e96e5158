// A section that is zeroed in one object and has bytes in another has bytes in the image.
//# ExpectValue: after - zero = 16
//# ExpectWord64: zero = 0
//# ExpectWord64: after = 7
        .globl zero
        .section own,"aw",@nobits
zero:   .zero 16
//# Object: b.o
        .section own,"aw",@progbits
        .globl after
after:  .quad 7
