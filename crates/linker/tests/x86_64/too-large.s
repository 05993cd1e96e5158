// Farther than a 32-bit displacement reaches.
//# ExpectError: the image would be larger than 2 GiB
        .bss
        .zero 0x80000000
