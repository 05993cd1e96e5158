// Objects that say nothing, or nothing beyond the baseline.
//# ExpectCpus: x86-64
//# ExpectRequires:
        .globl f
f:      ret
//# Object: b.o
        .section .farcall.target,"e",@progbits
        .asciz "x86-64", ""
//# Object: c.o
// A record that is cut short, one that is no text.
        .section .farcall.target,"e",@progbits
        .byte 0xff, 0
        .asciz "avx2"
        .ascii "x86"
//# Object: d.o
// What is loaded is the program's own.
        .section .farcall.target,"a",@progbits
        .asciz "x86-64-v4", "avx512f"
