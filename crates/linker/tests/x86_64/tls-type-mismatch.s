// A thread-local symbol in an ordinary section.
//# ExpectError: a.o: x: it is thread-local, but its section is not
//# Poke: a.o+0x64 = 16
        .globl x
x:      .quad 1
