// Calls and jumps through the GOT become direct within the image; the displacement of a jump moves by one.
//# ExpectBytes: f = 67 e8
//# ExpectWord32: f+2 = g - (f+2) - 4
//# ExpectBytes: f+6 = e9
//# ExpectWord32: f+7 = g - (f+7) - 4
//# ExpectBytes: f+11 = 90
//# ExpectBytes: f+12 = ff 15
//# ExpectWord32: f+14 = got(import) - (f+14) - 4
//# ExpectBytes: f+18 = ff 25
//# ExpectWord32: f+20 = got(import) - (f+20) - 4
//# ExpectDynamicCount: 1
//# ExpectValue: end(.got) - start(.got) = 8
        .globl f, g
f:      call *g@GOTPCREL(%rip)
        jmp *g@GOTPCREL(%rip)
        call *import@GOTPCREL(%rip)
        jmp *import@GOTPCREL(%rip)
        .zero 100
g:      ret
