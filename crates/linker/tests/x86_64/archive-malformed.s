// An archive that ends in the middle of a member's header.
//# Raw: lib.a = 21 3c 61 72 63 68 3e 0a 78 2e 6f 2f
//# ExpectError: lib.a: malformed archive:
        .globl f
f:      call x@PLT
