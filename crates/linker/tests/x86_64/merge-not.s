// What says that it may be merged but has no whole entries, can be written, has relocations, or is what
// `__start_` counts, is left as it is.
//# ExpectBytes: unended = 61 00 61 00 62
//# ExpectValue: (words_end - words) = 16
//# ExpectValue: stop - start = 8
//# ExpectDynamicCount: 4

    .section .rodata.str1.1, "aMS", @progbits, 1
    .globl unended
unended:
    .ascii "a\0a\0b"

    .section .data.rel.ro.cst8, "aM", @progbits, 8
    .globl words, words_end
words:
    .quad unended
    .quad unended
words_end:

    .section counted, "aM", @progbits, 4
    .globl start, stop
start:
    .long 7, 7
stop:

    .data
    .quad __start_counted
    .quad __stop_counted
