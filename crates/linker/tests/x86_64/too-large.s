// Farther than a 32-bit displacement reaches, in pieces that small code may refer to.
//# ExpectError: the image would be larger than 2 GiB
        .bss
        .zero 0x30000000
//# Object: b.o
        .bss
        .zero 0x30000000
//# Object: c.o
        .bss
        .zero 0x30000000
