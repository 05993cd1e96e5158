// All members are linked, though nothing refers to them, two of one name too, in the order of the archive.
//# ExpectSymbol: f
//# ExpectSymbol: g
//# ExpectSymbol: h
//# ExpectValue: h = g + 16
        .globl f
f:      ret
//# Object: b.o
        .globl g
        .balign 16
g:      ret
//# Object: c.o
        .globl h
        .balign 16
h:      ret
//# Archive: lib.a = b.o c.o
//# Whole: lib.a
