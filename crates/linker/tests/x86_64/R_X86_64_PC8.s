// S + A - P at the edges of one, two and four bytes.
//# ExpectWord8: f = 0x7f
//# ExpectWord8: f+1 = 0x80
//# ExpectWord16: f+2 = 0x7fff
//# ExpectWord16: f+4 = 0x8000
//# ExpectWord32: f+6 = 0x7fffffff
//# ExpectWord32: f+10 = 0x80000000
        .globl f
f:      .zero 14
        .reloc f, R_X86_64_PC8, f+0x7f
        .reloc f+1, R_X86_64_PC8, f+1-0x80
        .reloc f+2, R_X86_64_PC16, f+2+0x7fff
        .reloc f+4, R_X86_64_PC16, f+4-0x8000
        .reloc f+6, R_X86_64_PC32, f+6+0x7fffffff
        .reloc f+10, R_X86_64_PC32, f+10-0x80000000
