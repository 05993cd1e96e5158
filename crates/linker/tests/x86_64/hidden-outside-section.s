// A name inside the image may stand anywhere, such as before the table that it indexes.
//# ExpectWord32: f+3 = table - 8 - (f+3) - 4
        .globl f, table, before
        .hidden before
f:      lea before(%rip), %rax
        .data
table:  .quad 1
before = table - 8
