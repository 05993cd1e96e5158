// What code compiled without -fPIC has.
//# ExpectError: a.o: .text+0x3: R_X86_64_32S against own is not position-independent: compile with -fPIC
//# ExpectError: a.o: .text+0x8: R_X86_64_32 against own is not position-independent
//# ExpectError: a.o: .text+0xf: R_X86_64_PC32 against import is not position-independent
//# ExpectError: a.o: .text+0x15: R_X86_64_64 against own would change read-only bytes at load: compile with -fPIC
//# ExpectError: a.o: .rodata+0x0: R_X86_64_64 against import would change read-only bytes at load
        movq $own, %rax
        movl $own, %eax
        leaq import(%rip), %rax
        movabsq $own, %rax
        .section .rodata,"a"
        .quad import
        .data
        .globl own
own:    .quad 0
