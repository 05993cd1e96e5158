// One's own definition comes first.
//# ExpectSymbol: atexit
//# ExpectNoSymbol: __cxa_atexit
//# ExpectWord32: f+1 = atexit - (f+1) - 4
        .globl f, atexit
f:      call atexit@PLT
atexit: ret
