// Code that reads the image's tables has them in memory: segments follow each other.
//# ExpectValue: page(start(.text)) = 0x1000
        .globl f
f:      lea __ehdr_start(%rip), %rax
        ret
