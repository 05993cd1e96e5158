// Features of this machine, which has no levels; those of another are no features here.
//# ExpectCpus: generic,neoverse-v1
//# ExpectRequires: lse,sve,avx2
        .globl f
f:      ret
        .section .farcall.target,"e",@progbits
        .asciz "generic", "sve"
//# Object: b.o
        .section .farcall.target,"e",@progbits
        .asciz "neoverse-v1", "avx2,lse,sve"
