// Nothing is written, whatever the symbol.
//# ExpectBytes: f = 90 90 90 90 c3
//# ExpectDynamicCount: 0
        .globl f
f:      nop; nop; nop; nop
        ret
        .reloc f, R_X86_64_NONE
        .reloc f+1, R_X86_64_NONE, f+77
