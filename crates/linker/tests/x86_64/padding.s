// A few bytes that would make a large file.
//# ExpectError: the image would hold
        .section own,"aw",@nobits
        .zero 0x40000000
//# Object: b.o
        .section own,"aw",@progbits
        .quad 7
