// What has no form without the GOT keeps its entry: arithmetic with it, numbers, null, other addends, imports.
//# ExpectBytes: f = 48 3b 05
//# ExpectWord32: f+3 = got(own) - (f+3) - 4
//# ExpectBytes: f+7 = 48 8b 05
//# ExpectWord32: f+10 = got(number) - (f+10) - 4
//# ExpectBytes: f+14 = 48 8b 05
//# ExpectBytes: f+21 = 48 8b 05
//# ExpectWord32: f+24 = got(import) - (f+24) - 4
//# ExpectBytes: f+28 = 8b 05
//# ExpectWord32: f+30 = got(own) - (f+30)
//# ExpectWord64: f+17 + word32(f+17) + 4 = 0
//# ExpectDynamic: RELATIVE at got(own) = own
//# ExpectDynamicCount: 2
        .globl f, own, number
number = 5
        .weak null
        .hidden null
f:      cmpq own@GOTPCREL(%rip), %rax
        movq number@GOTPCREL(%rip), %rax
        movq null@GOTPCREL(%rip), %rax
        movq import@GOTPCREL(%rip), %rax
        movl 0(%rip), %eax
        .reloc f+30, R_X86_64_GOTPCRELX, own
        .data
own:    .quad 0
