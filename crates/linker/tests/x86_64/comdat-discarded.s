// A reference by section into a group that lost.
//# ExpectError: b.o: .data+0x0: refers to .text.x, whose section was discarded for another object's copy
        .section .text.x,"axG",@progbits,x,comdat
        .weak x
x:      ret
//# Object: b.o
        .section .text.x,"axG",@progbits,x,comdat
        .weak x
        nop
x:      ret
local:  ret
        .data
        .quad local
