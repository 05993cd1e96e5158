// Equal strings of all objects are one in the image, whatever names them: a symbol, or a section's
// symbol with an offset. Strings of another alignment are apart.
//# ExpectValue: first = word64(second)
//# ExpectValue: word64(middle) = first + 2
//# ExpectValue: word64(later) = last
//# ExpectValue: first = third
//# ExpectValue: word64(fourth) = first
//# ExpectBytes: first = 68 65 6c 6c 6f 00
//# ExpectBytes: last = 62 79 65 00
//# ExpectBytes: aligned = 68 65 6c 6c 6f 00
//# ExpectDynamicCount: 4

    .section .rodata.str1.1, "aMS", @progbits, 1
    .globl first, last
first:
    .string "hello"
last:
    .string "bye"

    .data
    .globl second, middle, later
second:
    .quad .rodata.str1.1
middle:
    .quad .rodata.str1.1 + 2
later:
    .quad .rodata.str1.1 + 6

//# Object: b.o
    .section .rodata.str1.1, "aMS", @progbits, 1
    .globl third
    .string ""
    .string "bye"
third:
    .string "hello"

    .section .rodata.str1.8, "aMS", @progbits, 1
    .balign 8
    .globl aligned
aligned:
    .string "hello"

    .data
    .globl fourth
fourth:
    .quad .rodata.str1.1 + 5
