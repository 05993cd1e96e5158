// Pointers of four bytes are another ABI.
//# Args: --target=aarch64-unknown-linux-gnu_ilp32
//# ExpectError: a.o: cannot be linked: 32-bit, as x32 and ILP32 are too: compile it for a 64-bit ABI
        .globl f
f:      ret
