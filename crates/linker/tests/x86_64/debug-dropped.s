// What is wrong in debug information does not matter where it is dropped.
//# ExpectNoSection: .debug_info
//# ExpectNoSection: .symtab
        .globl f
f:      ret
        .section .debug_info,"",@progbits
        .quad f
        .long f@GOTPCREL
