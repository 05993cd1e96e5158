// S + A of numbers, at the edges of two and four bytes.
//# ExpectWord32: f = 0xffffffff
//# ExpectWord32: f+4 = 0x80000000
//# ExpectWord16: f+8 = 0xffff
//# ExpectWord16: f+10 = 0x8000
//# ExpectWord32: f+12 = 79
        .globl f, number
number = 77
f:      .zero 16
        .reloc f, R_AARCH64_ABS32, 0xffffffff
        .reloc f+4, R_AARCH64_ABS32, -0x80000000
        .reloc f+8, R_AARCH64_ABS16, 0xffff
        .reloc f+10, R_AARCH64_ABS16, -0x8000
        .reloc f+12, R_AARCH64_ABS32, number+2
