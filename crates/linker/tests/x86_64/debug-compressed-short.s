// Compressed bytes that stand for less than is said: one empty block.
//# DebugInfo: keep
//# ExpectError: a.o: malformed object: .zdebug_info: Uncompressed data size does not match compression header
        .globl f
f:      ret
        .section .zdebug_info,"",@progbits
        .ascii "ZLIB"
        .byte 0, 0, 0, 0, 0, 0, 0, 16
        .byte 0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01
