// The same load with a REX2 prefix (APX).
//# Args: -mapx-features=egpr
//# ExpectBytes: f = d5 48 8d 05
//# ExpectWord32: f+4 = own - (f+4) - 4
//# ExpectBytes: f+8 = d5 48 8b 05
//# ExpectWord32: f+12 = got(import) - (f+12) - 4
//# ExpectDynamicCount: 1
        .globl f, own
f:      movq own@GOTPCREL(%rip), %r16
        movq import@GOTPCREL(%rip), %r16
        .data
own:    .quad 0
