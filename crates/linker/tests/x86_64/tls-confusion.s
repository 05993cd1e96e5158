// A thread-local variable used as an ordinary one, and the other way round.
//# ExpectError: a.o: x: a thread-local variable is used as if it were an ordinary one
//# ExpectError: a.o: y: an ordinary variable is used as if it were thread-local
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
