// Functions that choose themselves at load.
//# ExpectError: a.o: f: indirect functions (IFUNC) are not supported yet
        .globl f
        .type f, @gnu_indirect_function
f:      ret
