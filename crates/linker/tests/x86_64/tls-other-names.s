// The flag makes a section thread-local, whatever its name: a name that others have otherwise does not mix them.
//# ExpectValue: x = 0
//# ExpectValue: y = 8
//# ExpectSymbol: x section=.tdata
//# ExpectSymbol: y section=.tbss
//# ExpectSymbol: z section=.data.rel.ro
        .section .data.rel.ro.x,"awT",@progbits
        .globl x, y, z
x:      .quad 1
        .section .data.rel.ro.y,"awT",@nobits
y:      .quad 0
        .section .data.rel.ro,"aw",@progbits
z:      .quad z
