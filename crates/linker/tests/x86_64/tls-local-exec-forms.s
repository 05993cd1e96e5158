// Every form that compilers give a local-exec access goes out of line: with a base, with an index, with both, with a
// high-byte register, an immediate, a push, a jump.
//# Object: good.o
//# ExpectDynamicCount: 1
        .globl f
f:      leaq x@TPOFF(%rax), %rax
        movl %fs:x@TPOFF(,%rcx,4), %eax
        addl $5, %fs:x@TPOFF(%rbx)
        movb %ah, %fs:x@TPOFF+1
        movss x@TPOFF(%rax,%rcx,4), %xmm3
        vaddps %fs:x@TPOFF, %ymm1, %ymm2
        lock xaddq %rax, %fs:x@TPOFF
        pushq %fs:x@TPOFF
        movq $x@TPOFF, %rdx
        addq $x@TPOFF, %rax
        addq $x@TPOFF, %r12
        vpgatherdd %xmm1, %fs:x@TPOFF(,%xmm2,4), %xmm3
        vpgatherdd %xmm1, %fs:x@TPOFF(%rax,%xmm2,4), %xmm3
        mulq %fs:x@TPOFF
        jmp *%fs:x@TPOFF
        .section .tdata,"awT",@progbits
        .globl x
x:      .quad 1
