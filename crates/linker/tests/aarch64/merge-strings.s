// Equal strings are one, and a page and its offset agree on which.
//# ExpectValue: operand(code) + operand(code + 4) = bye
//# ExpectValue: hello = again

    .section .rodata.str1.1, "aMS", @progbits, 1
    .globl hello, bye
hello:
    .string "hello"
bye:
    .string "bye"

//# Object: b.o
    .section .rodata.str1.1, "aMS", @progbits, 1
    .globl again
.Lbye:
    .string "bye"
again:
    .string "hello"

    .text
    .globl code
code:
    adrp x0, .Lbye
    add x0, x0, :lo12:.Lbye
