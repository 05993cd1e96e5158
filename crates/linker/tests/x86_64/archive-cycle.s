// Archives are asked again for what their members want, whatever the order, and a strong member meets a weak one.
//# ExpectBytes: x = 01
//# ExpectBytes: y = 02
//# ExpectBytes: z = 03
        .globl f
f:      call x@PLT
//# Object: x.o
        .globl x
x:      .byte 1
        call y@PLT
//# Object: y.o
        .globl y
y:      .byte 2
        call z@PLT
//# Object: z.o
        .globl z
z:      .byte 3
        call x@PLT
//# Archive: one.a = x.o z.o
//# Archive: two.a = y.o
