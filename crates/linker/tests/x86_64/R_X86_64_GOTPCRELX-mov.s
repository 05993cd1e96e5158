// Loads of an address become the address, with and without a REX prefix, into every register.
//# ExpectBytes: f = 8d 05
//# ExpectWord32: f+2 = own - (f+2) - 4
//# ExpectBytes: f+6 = 48 8d 1d
//# ExpectWord32: f+9 = own - (f+9) - 4
//# ExpectBytes: f+13 = 4c 8d 3d
//# ExpectWord32: f+16 = own - (f+16) - 4
//# ExpectNoSection: .got
//# ExpectDynamicCount: 0
        .globl f, own
f:      movl own@GOTPCREL(%rip), %eax
        movq own@GOTPCREL(%rip), %rbx
        movq own@GOTPCREL(%rip), %r15
        .data
own:    .quad 0
