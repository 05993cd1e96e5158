// S + A - P in eight bytes, in code and in data.
//# ExpectWord64: f+2 = variable - (f+2) + 3
//# ExpectWord64: variable = f - variable
//# ExpectDynamicCount: 0
        .globl f, variable
f:      movabs $variable+3-., %rax
        .reloc f+2, R_X86_64_PC64, variable+3
        .data
        .balign 8
variable:
        .quad f-.
