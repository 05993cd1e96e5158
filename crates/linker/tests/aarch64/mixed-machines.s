// One image is for one machine.
//# ExpectError: b.o: for x86_64, but a.o is for aarch64
        .globl f
f:      ret
//# Object: b.o
//# Args: --target=x86_64-unknown-linux-gnu
        .globl g
g:      ret
