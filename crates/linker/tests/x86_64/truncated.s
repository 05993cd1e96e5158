// An object that ends in its file header.
//# Truncate: a.o = 40
//# ExpectError: a.o: malformed object: truncated ELF header
        .globl f
f:      ret
