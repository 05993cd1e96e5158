// Segments stand 16 MiB apart, so that those of many images can share pages; the dynamic table, which only
// loading needs, is last in its segment.
//# ExpectValue: page(start(.text)) = 0x1000000
//# ExpectValue: page(start(.dynamic)) = 0x2000000
//# ExpectValue: page(start(.data)) = 0x3000000
//# ExpectValue: end(.got) = start(.dynamic)
        .globl f, d
f:      .cfi_startproc
        mov g@GOTPCREL(%rip), %rax
        ret
        .cfi_endproc
        .data
d:      .quad 1
