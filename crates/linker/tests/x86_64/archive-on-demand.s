// Members are linked when a name is wanted that they define: those that members want too, and no others.
//# ExpectSymbol: f
//# ExpectSymbol: first
//# ExpectSymbol: second
//# ExpectNoSymbol: unused
//# ExpectImport: weakly_wanted weak
//# ExpectWord32: f+1 = first - (f+1) - 4
        .globl f
        .weak weakly_wanted
f:      call first@PLT
        call weakly_wanted@PLT
//# Object: unused.o
        .globl unused
unused: call missing@PLT
//# Object: second.o
        .globl second
second: ret
//# Object: first.o
        .globl first
first:  call second@PLT
//# Object: weak.o
        .globl weakly_wanted
weakly_wanted: ret
//# Archive: lib.a = unused.o second.o first.o weak.o
