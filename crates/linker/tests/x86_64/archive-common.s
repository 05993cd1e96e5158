// A common symbol is replaced by the value that an archive's member gives it, but no member is linked for another common
// symbol or for a weak definition.
//# ExpectSymbol: valued size=4
//# ExpectWord32: valued = 7
//# ExpectSymbol: with_valued
//# ExpectSymbol: plain size=4
//# ExpectNoSymbol: with_plain
//# ExpectSymbol: weak size=4
//# ExpectNoSymbol: with_weak
        .comm valued,4,4
        .comm plain,4,4
        .comm weak,4,4
//# Object: valued.o
        .globl valued, with_valued
        .data
        .type valued,@object
        .size valued,4
valued: .long 7
with_valued: .long 1
//# Object: plain.o
        .comm plain,8,8
        .globl with_plain
with_plain: ret
//# Object: weak.o
        .weak weak
        .globl with_weak
        .data
weak:   .long 9
with_weak: .long 1
//# Archive: lib.a = valued.o plain.o weak.o
