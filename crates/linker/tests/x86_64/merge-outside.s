// An offset past the end of a mergeable section means no piece of it.
//# ExpectError: a.o: .data+0x8: refers to .rodata.str1.1+0x4, which is outside of it

    .section .rodata.str1.1, "aMS", @progbits, 1
    .string "x"
    .string ""

    .data
    .quad .rodata.str1.1 + 3
    .quad .rodata.str1.1 + 4

//# Object: b.o
    .section .rodata.str1.1, "aMS", @progbits, 1
    .string "x"
