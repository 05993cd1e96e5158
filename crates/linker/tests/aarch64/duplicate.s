//# ExpectError: f: defined twice: in a.o: .text+0x0 and in b.o: .text+0x4: keep one, or make it static or weak
        .globl f
f:      ret
//# Object: b.o
        .globl f
        nop
f:      ret
