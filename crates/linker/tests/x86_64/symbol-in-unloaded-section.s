// A global in a section that is not loaded is nothing for others.
//# ExpectNoSymbol: note
        .section .comment,"",@progbits
        .globl note
note:   .quad 1
