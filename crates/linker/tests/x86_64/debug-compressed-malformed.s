// Compressed bytes that are none.
//# DebugInfo: keep
//# ExpectError: a.o: malformed object: .zdebug_info: Invalid zlib compressed data
        .globl f
f:      ret
        .section .zdebug_info,"",@progbits
        .ascii "ZLIB"
        .byte 0, 0, 0, 0, 0, 0, 0, 16
        .quad 0x1234
