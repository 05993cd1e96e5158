// A group that is no COMDAT group is only a grouping.
//# ExpectError: x: defined twice: in a.o: .text.x+0x0 and in b.o: .text.x+0x0
        .section .text.x,"axG",@progbits,x
        .globl x
x:      ret
//# Object: b.o
        .section .text.x,"axG",@progbits,x
        .globl x
x:      ret
