// Sections that no image can have.
//# ExpectError: a.o: section .note.GNU-stack: the object asks for an executable stack, which no image has
//# ExpectError: a.o: section .wx: it is writable and executable
//# ExpectError: a.o: section .preinit_array: pre-initialisers run only in executables
//# ExpectError: a.o: section .init: code in this section belongs to a C runtime's start files
        .section .note.GNU-stack,"x",@progbits
        .section .wx,"awx",@progbits
        nop
        .section .preinit_array,"aw",@preinit_array
        .quad 0
        .section .init,"ax",@progbits
        ret
