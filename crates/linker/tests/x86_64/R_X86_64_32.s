// Narrow absolute fields hold numbers only; addresses are not known to the last bit before load.
//# ExpectWord32: words = 0xffffffff
//# ExpectWord32: words+4 = 0
//# ExpectWord32: words+8 = 0x7fffffff
//# ExpectWord32: words+12 = 0x80000000
//# ExpectWord16: words+16 = 0xffff
//# ExpectWord16: words+18 = 0x8000
//# ExpectWord8: words+20 = 0xff
//# ExpectWord8: words+21 = 0x80
//# ExpectDynamicCount: 0
        .globl one
one = 1
        .data
        .globl words
words:  .zero 22
        .reloc words, R_X86_64_32, one+0xfffffffe
        .reloc words+4, R_X86_64_32, one-1
        .reloc words+8, R_X86_64_32S, one+0x7ffffffe
        .reloc words+12, R_X86_64_32S, one-0x80000001
        .reloc words+16, R_X86_64_16, one+0xfffe
        .reloc words+18, R_X86_64_16, one-0x8001
        .reloc words+20, R_X86_64_8, one+0xfe
        .reloc words+21, R_X86_64_8, one-0x81
