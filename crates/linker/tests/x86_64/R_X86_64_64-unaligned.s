// A table of relative words cannot name an odd address, so these are ordinary relocations.
//# ExpectDynamic: RELATIVE at packed+1 = packed + 1
//# ExpectDynamic: RELATIVE at packed+9 = f + 3
//# ExpectDynamic: RELATIVE at packed+17 = f
//# ExpectDynamicCount: 3
        .text
        .globl f
f:      ret
        .data
        .globl packed
        .balign 8
packed: .byte 1
        .quad packed+1
        .quad f+3
        .quad f
        .reloc packed+17, R_X86_64_NONE, packed
