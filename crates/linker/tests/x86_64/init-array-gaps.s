// Pointers follow each other without gaps, whatever alignment the objects ask for.
//# ExpectInit: f g h
        .globl f, g, h
f:      ret
g:      ret
h:      ret
        .section .init_array.1,"aw",@init_array
        .balign 1
        .quad f
        .section .init_array,"aw",@init_array
        .balign 32
        .quad g
//# Object: b.o
        .section .init_array,"aw",@init_array
        .balign 32
        .quad h
