// Of this machine's two byte orders, images have one.
//# Args: --target=aarch64_be-unknown-linux-gnu
//# ExpectError: a.o: cannot be linked: big-endian: compile it for a little-endian system
        .globl f
f:      ret
