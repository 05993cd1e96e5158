// The edges of what does not depend on where something is: offsets in the GOT and in the TLS block, sizes.
//# ExpectWord32: words = 0x7fffffff
//# ExpectWord32: words+4 = 0x80000000
//# ExpectWord32: words+8 = 0x7fffffff
//# ExpectWord32: words+12 = 0x80000000
//# ExpectWord32: words+16 = 0xffffffff
//# ExpectWord32: words+20 = 0
//# ExpectDynamic: GLOB_DAT import at got(import)
//# ExpectDynamicCount: 1
        .data
        .globl words
words:  .zero 24
        .reloc words, R_X86_64_GOT32, import+0x7fffffff
        .reloc words+4, R_X86_64_GOT32, import-0x80000000
        .reloc words+8, R_X86_64_DTPOFF32, variable+0x7ffffff7
        .reloc words+12, R_X86_64_DTPOFF32, variable-0x80000008
        .reloc words+16, R_X86_64_SIZE32, words+0xffffffe7
        .reloc words+20, R_X86_64_SIZE32, words-24
        .size words, 24
        .section .tdata,"awT",@progbits
        .quad 1
        .globl variable
variable: .quad 2
