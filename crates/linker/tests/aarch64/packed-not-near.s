// Code of the tiny model has the constants and the GOT near.
//# ExpectValue: page(start(.text)) = 0x10000
        .globl f
f:      adr x0, d
        ldr x1, :got:g
        ret
        .section .rodata
d:      .quad 1
