// What the image must define itself.
//# ExpectError: a.o: hidden is hidden, so the image must define it, but no input does
//# ExpectError: a.o: internal is internal, so the image must define it
//# ExpectError: a.o: protected is protected, so the image must define it
        call hidden
        call internal
        call protected
        .hidden hidden
        .internal internal
        .protected protected
