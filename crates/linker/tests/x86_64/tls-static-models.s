// Local-exec code has the offset from the thread pointer in it, which differs from process to process.
//# ExpectError: a.o: .text+0x3: R_X86_64_TPOFF32 against x: this TLS model needs a place in the static TLS block
//# ExpectError: a.o: .text+0x9: R_X86_64_TPOFF64 against x: this TLS model
        leaq x@TPOFF(%rax), %rax
        movabs $x@TPOFF, %rax
        .section .tdata,"awT",@progbits
        .globl x
x:      .quad 1
