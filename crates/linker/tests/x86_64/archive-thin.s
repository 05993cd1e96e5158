// A thin archive names files, and the linker reads none.
//# ExpectError: lib.a: a thin archive holds no objects: make it without `ar --thin`
        .globl f
f:      call x@PLT
//# Object: x.o
        .globl x
x:      ret
//# ThinArchive: lib.a = x.o
