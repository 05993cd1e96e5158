// The static TLS block has no room for an image that comes later.
//# ExpectError: a.o: .text+0x3: R_X86_64_GOTTPOFF against x: this TLS model needs a place in the static TLS block
//# ExpectError: a.o: .text+0xa: R_X86_64_TPOFF32 against x: this TLS model
//# ExpectError: a.o: .text+0x10: R_X86_64_TPOFF64 against x: this TLS model
//# ExpectError: a.o: .text+0x1b: R_X86_64_GOTPC32_TLSDESC against x is not supported yet
//# ExpectError: a.o: .text+0x1f: R_X86_64_TLSDESC_CALL against x is not supported yet
        movq x@GOTTPOFF(%rip), %rax
        leaq x@TPOFF(%rax), %rax
        movabs $x@TPOFF, %rax
        leaq x@TLSDESC(%rip), %rax
        call *x@TLSCALL(%rax)
        .section .tdata,"awT",@progbits
        .globl x
x:      .quad 1
