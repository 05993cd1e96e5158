// Pointers of four bytes are another ABI.
//# Args: --target=aarch64-unknown-linux-gnu_ilp32
//# ExpectError: a.o: cannot be linked: not 64-bit little-endian
        .globl f
f:      ret
