// What the image must define itself.
//# ExpectError: a.o: .text+0x1: hidden is hidden, so the image must define it, but no input does: add the object that does, or declare it with default visibility
//# ExpectError: a.o: .text+0x6: internal is internal, so the image must define it
//# ExpectError: protected is protected, so the image must define it
        call hidden
        call internal
        call protected
        .hidden hidden
        .internal internal
        .protected protected
