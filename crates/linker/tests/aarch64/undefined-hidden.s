//# ExpectError: a.o: .text+0x4: hidden is hidden, so the image must define it, but no input does: add the object that does, or declare it with default visibility
//# ExpectError: protected is protected, so the image must define it
        .globl f
        .hidden hidden
        .protected protected
f:      nop
        bl hidden
        bl protected
