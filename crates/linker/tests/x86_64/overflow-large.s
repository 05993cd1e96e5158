// What the small code model says of zeroed data of the large one.
//# ExpectError: a.o: .text+0x3: R_X86_64_PC32 against behind out of range: 0xc000
        leaq behind(%rip), %rax
        .section .lbss,"awl",@nobits
        .zero 0xc0000000
        .globl behind
behind: .zero 16
