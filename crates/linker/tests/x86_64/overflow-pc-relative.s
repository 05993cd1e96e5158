// One past each edge of the PC-relative fields.
//# ExpectError: R_X86_64_PC32 against .text.pc32 out of range: 0x80000000 not in [-2^31, 2^31)
//# ExpectError: R_X86_64_PC32 against .text.pc32b out of range: -0x80000001 not in
//# ExpectError: R_X86_64_PLT32 against f out of range: 0x80000000 not in
//# ExpectError: R_X86_64_PC16 against .text.pc16 out of range: 0x8000 not in [-2^15, 2^15)
//# ExpectError: R_X86_64_PC16 against .text.pc16b out of range: -0x8001 not in
//# ExpectError: R_X86_64_PC8 against .text.pc8 out of range: 0x80 not in [-2^7, 2^7)
//# ExpectError: R_X86_64_PC8 against .text.pc8b out of range: -0x81 not in
        .macro word name, type, distance
        .section .text.\name,"ax"
        .zero 8
        .reloc .text.\name, \type, .text.\name+\distance
        .endm
        word pc32, R_X86_64_PC32, 0x80000000
        word pc32b, R_X86_64_PC32, -0x80000001
        .section .text.plt32,"ax"
        .globl f
f:      .zero 8
        .reloc f, R_X86_64_PLT32, f+0x80000000
        word pc16, R_X86_64_PC16, 0x8000
        word pc16b, R_X86_64_PC16, -0x8001
        word pc8, R_X86_64_PC8, 0x80
        word pc8b, R_X86_64_PC8, -0x81
