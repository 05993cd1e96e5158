// Code that asks the CPU before it calls what needs more: the image requires what all need.
//# CpuDispatch: yes
//# ExpectCpus: x86-64-v2,x86-64-v4
//# ExpectRequires: x86-64-v2
        .globl f
f:      ret
        .section .farcall.target,"e",@progbits
        .asciz "x86-64-v2", "crc32,cx16,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3"
//# Object: b.o
        .section .farcall.target,"e",@progbits
        .asciz "x86-64-v4", "avx,avx2,avx512bw,avx512cd,avx512dq,avx512f,avx512vl,bmi,bmi2,crc32,cx16,f16c,fma,lzcnt,movbe,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3,xsave"
