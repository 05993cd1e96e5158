// An object that ends before its section headers.
//# Truncate: a.o = 0x80
//# ExpectError: a.o: malformed object:
        .globl f
f:      ret
