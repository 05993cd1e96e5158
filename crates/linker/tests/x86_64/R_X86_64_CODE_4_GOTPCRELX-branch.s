// A call or jump with a REX2 prefix (APX) stays one through the GOT: direct ones have no such prefix.
//# Args: -mapx-features=egpr
//# ExpectBytes: f = d5 00 ff 15
//# ExpectWord32: f+4 = got(g) - (f+4) - 4
//# ExpectBytes: f+8 = d5 00 ff 25
//# ExpectWord32: f+12 = got(g) - (f+12) - 4
//# ExpectDynamic: RELATIVE at got(g) = g
//# ExpectDynamicCount: 1
        .globl f, g
f:      {rex2} call *g@GOTPCREL(%rip)
        {rex2} jmp *g@GOTPCREL(%rip)
g:      ret
