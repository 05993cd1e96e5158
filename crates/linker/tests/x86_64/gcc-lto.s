// What gcc -flto makes: this mark, and sections that only gcc reads.
//# ExpectError: a.o: cannot be linked: it holds GCC's intermediate code: compile without -flto or with -ffat-lto-objects
        .comm __gnu_lto_slim, 1, 1
        .section .gnu.lto_f,"e",@progbits
        .byte 1
