// A member that is linked for one name brings its others.
//# ExpectError: x: defined twice: in a.o: .text+0x0 and in lib.a(b.o): .text+0x0
        .globl x
x:      call y@PLT
//# Object: b.o
        .globl x, y
x:
y:      ret
//# Archive: lib.a = b.o
