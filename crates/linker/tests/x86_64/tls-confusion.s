// A thread-local variable used as an ordinary one, and the other way round.
//# ExpectError: a.o: .text+0x3: R_X86_64_PC32 against x: a thread-local variable is used as if it were an ordinary one: declare it alike where it is defined and where it is used
//# ExpectError: a.o: .text+0xa: R_X86_64_TLSGD against y: an ordinary variable is used as if it were thread-local
        leaq x(%rip), %rax
        leaq y@TLSGD(%rip), %rdi
        .section .tdata,"awT",@progbits
        .globl x
x:      .quad 1
//# Object: b.o
        .data
        .globl y
y:      .quad 1
        .type y, @object
