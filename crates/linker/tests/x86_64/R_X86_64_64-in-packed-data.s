// A section without alignment, whose word is aligned or not as its segment begins.
//# ExpectDynamic: RELATIVE at word = word
//# ExpectDynamicCount: 1
        .section .rodata,"a"
        .byte 1
        .data
        .globl word
word:   .quad word
