// Constructor tables of old.
//# ExpectError: a.o: section .ctors: constructors in this form are not supported yet: compile with -fuse-init-array
        .section .ctors,"aw",@progbits
        .quad 0
