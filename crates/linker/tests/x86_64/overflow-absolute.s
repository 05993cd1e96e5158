// One past each edge of the narrow absolute fields.
//# ExpectError: a.o: .data32+0x0: R_X86_64_32 against one out of range: 0x100000000 not in [0, 2^32)
//# ExpectError: a.o: .data32b+0x0: R_X86_64_32 against one out of range: -0x1 not in
//# ExpectError: a.o: .data32s+0x0: R_X86_64_32S against one out of range: 0x80000000 not in [-2^31, 2^31)
//# ExpectError: a.o: .data32sb+0x0: R_X86_64_32S against one out of range: -0x80000001 not in
//# ExpectError: a.o: .data16+0x0: R_X86_64_16 against one out of range: 0x10000 not in [-2^15, 2^16)
//# ExpectError: a.o: .data16b+0x0: R_X86_64_16 against one out of range: -0x8001 not in
//# ExpectError: a.o: .data8+0x0: R_X86_64_8 against one out of range: 0x100 not in [-2^7, 2^8)
//# ExpectError: a.o: .data8b+0x0: R_X86_64_8 against one out of range: -0x81 not in
        .macro word name, type, addend
        .section \name,"aw"
        .zero 8
        .reloc \name, \type, one+\addend
        .endm
        word .data32, R_X86_64_32, 0xffffffff
        word .data32b, R_X86_64_32, -2
        word .data32s, R_X86_64_32S, 0x7fffffff
        word .data32sb, R_X86_64_32S, -0x80000002
        word .data16, R_X86_64_16, 0xffff
        word .data16b, R_X86_64_16, -0x8002
        word .data8, R_X86_64_8, 0xff
        word .data8b, R_X86_64_8, -0x82
//# Object: b.o
        .globl one
one = 1
