// The type makes a constructor table, whatever its name.
//# ExpectInit: f g
        .globl f, g
f:      ret
g:      ret
        .section .init_array,"aw",@init_array
        .quad f
        .section my_constructors,"aw",@init_array
        .quad g
