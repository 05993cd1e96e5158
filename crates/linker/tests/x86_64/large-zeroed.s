// Zeroed data of the medium and large code models may be larger than 32-bit displacements reach: it is last, and a load
// of its address from the GOT stays one.
//# ExpectBytes: f = 48 8b 05
//# ExpectWord32: f+3 = got(behind) - (f+3) - 4
//# ExpectDynamic: RELATIVE at got(behind) = behind
//# ExpectWord64: f+9 = behind + 8 - start(.got)
//# ExpectWord32: f+20 = near - (f+20) - 4
//# ExpectValue: behind = start(.lbss) + 0xc0000000
//# ExpectBytes: f+24 = 48 8b 05
//# ExpectWord32: f+27 = got(common) - (f+27) - 4
//# ExpectDynamic: RELATIVE at got(common) = common
//# ExpectDynamicCount: 2
        .globl f, behind, near
f:      movq behind@GOTPCREL(%rip), %rax
        movabsq $behind@GOTOFF+8, %rax
        leaq near(%rip), %rax
        movq common@GOTPCREL(%rip), %rax
        .comm common, 0x80000000, 8
        .section .lbss,"awl",@nobits
        .zero 0xc0000000
behind: .zero 16
        .bss
near:   .zero 16
