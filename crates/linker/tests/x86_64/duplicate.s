// Both places of a duplicate are named.
//# ExpectError: x: defined twice: in a.o: .text+0x1 and in b.o: .data+0x8
//# ExpectError: y: defined twice: in a.o: absolute+0x5 and in b.o: .data+0x10
        .globl x, y
        nop
x:      ret
y = 5
//# Object: b.o
        .data
        .globl x, y
        .quad 1
x:      .quad 2
y:      .quad 3
