// Z + A of functions, variables and common symbols, which count as the largest of them.
//# ExpectWord32: words = 3 + 2
//# ExpectWord64: words+8 = 40
//# ExpectWord64: words+16 = 64
//# ExpectDynamicCount: 0
        .globl f, variable
f:      nop; nop; ret
        .size f, 3
        .type variable, @object
        .data
        .globl words
words:  .zero 24
        .reloc words, R_X86_64_SIZE32, f+2
        .reloc words+8, R_X86_64_SIZE64, variable
        .reloc words+16, R_X86_64_SIZE64, common
variable:
        .zero 40
        .size variable, 40
        .comm common, 16, 8
//# Object: b.o
        .comm common, 64, 8
