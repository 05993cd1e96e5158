// S + A - P, at the edges of two and four bytes; eight hold every value.
//# ExpectWord64: f = -8
//# ExpectWord32: f+8 = 0xffffffff
//# ExpectWord32: f+12 = 0x80000000
//# ExpectWord16: f+16 = 0xffff
//# ExpectWord16: f+18 = 0x8000
//# ExpectWord32: f+20 = d - (f+20) + 4
        .globl f, d
f:      .zero 24
        .reloc f, R_AARCH64_PREL64, f-8
        .reloc f+8, R_AARCH64_PREL32, f+8+0xffffffff
        .reloc f+12, R_AARCH64_PREL32, f+12-0x80000000
        .reloc f+16, R_AARCH64_PREL16, f+16+0xffff
        .reloc f+18, R_AARCH64_PREL16, f+18-0x8000
        .reloc f+20, R_AARCH64_PREL32, d+4
        .data
d:      .quad 0
