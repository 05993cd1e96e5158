// An image requires what any of its objects needs. A level that is needed whole is said by its name; names that the
// linker does not know stand last. What objects of other compilers need, a GNU property may say.
//# ExpectCpus: x86-64,x86-64-v3,haswell
//# ExpectRequires: x86-64-v3,aes,frobnicate
        .globl f
f:      ret
        .section .farcall.target,"e",@progbits
        .asciz "x86-64", ""
//# Object: b.o
        .section .farcall.target,"e",@progbits
        .asciz "x86-64-v3", "avx,avx2,bmi,bmi2,crc32,cx16,f16c,fma,lzcnt,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3,xsave"
//# Object: c.o
// As `ld -r` joins two.
        .section .farcall.target,"e",@progbits
        .asciz "haswell", "aes,movbe"
        .asciz "haswell", "frobnicate"
//# Object: d.o
        .section .note.gnu.property,"a",@note
        .balign 8
        .long 4, 16, 5
        .asciz "GNU"
        .long 0xc0008002, 4, 2, 0
