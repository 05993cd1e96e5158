// Debug information refers to addresses and to other debug information, and to nothing else.
//# DebugInfo: keep
//# ExpectError: a.o: .debug_info+0x8: R_X86_64_GOTPCREL against f: debug information cannot refer to that: link without it
        .globl f
f:      ret
        .section .debug_info,"",@progbits
        .quad f
        .long f@GOTPCREL
