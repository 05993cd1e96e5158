// Of this machine's two byte orders, images have one.
//# Args: --target=aarch64_be-unknown-linux-gnu
//# ExpectError: a.o: cannot be linked: not 64-bit little-endian
        .globl f
f:      ret
