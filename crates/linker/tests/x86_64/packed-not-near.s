// Code whose displacements are too short for segments that stand far apart.
//# ExpectValue: page(start(.text)) = 0x1000
        .globl f
f:      .reloc ., R_X86_64_PC16, d
        .word 0
        ret
        .section .rodata
d:      .quad 1
