// G + A - P in data.
//# ExpectWord32: t = got(import) - t
//# ExpectWord32: t+4 = got(own) - (t+4) + 8
//# ExpectDynamic: GLOB_DAT import at got(import)
//# ExpectDynamic: RELATIVE at got(own) = own
//# ExpectDynamicCount: 2
        .globl t, own
        .section .rodata,"a"
t:      .word import@GOTPCREL
        .word own@GOTPCREL+8
own:    .word 0
