// Compressed bytes that claim to stand for more than any could: no memory is taken for it.
//# DebugInfo: keep
//# ExpectError: a.o: malformed object: .zdebug_info: 8 bytes claim to be 1152921504606846976 bytes, compressed
        .globl f
f:      ret
        .section .zdebug_info,"",@progbits
        .ascii "ZLIB"
        .byte 0x10, 0, 0, 0, 0, 0, 0, 0
        .quad 0x1234
