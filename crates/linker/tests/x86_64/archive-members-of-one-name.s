// Two members of one name are two objects.
//# ExpectBytes: x = 02
//# ExpectBytes: y = 03
        .globl f
f:      call x@PLT
        call y@PLT
//# Object: a/same.o
        .globl x
x:      .byte 2
//# Object: b/same.o
        .globl y
y:      .byte 3
//# Archive: lib.a = a/same.o b/same.o
