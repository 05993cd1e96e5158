// A reference to what only the losing group defined is an import that must be found, not null.
//# ExpectImport: only_in_b
//# ExpectWord32: g+1 = plt(only_in_b) - (g+1) - 4
        .section .text.x,"axG",@progbits,x,comdat
        .weak x
x:      ret
//# Object: b.o
        .section .text.x,"axG",@progbits,x,comdat
        .weak x, only_in_b
x:
only_in_b: ret
        .text
        .globl g
g:      call only_in_b@PLT
