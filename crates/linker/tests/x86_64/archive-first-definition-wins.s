// Of two members, and of two archives, that define a name the first is linked; a definition outside wins over both.
//# ExpectBytes: f+10 = 01
//# ExpectBytes: x = 02
//# ExpectBytes: y = 04
//# ExpectNoSymbol: marker_of_3
        .globl f, y
f:      call x@PLT
        call y@PLT
        .byte 1
y:      .byte 4
//# Object: a/x.o
        .globl x
x:      .byte 2
//# Object: b/x.o
        .globl x, marker_of_3
x:      .byte 3
marker_of_3:
//# Object: c/x.o
        .globl x, y, marker_of_3
marker_of_3:
x:
y:      .byte 3
//# Archive: one.a = a/x.o b/x.o
//# Archive: two.a = c/x.o
