// Local-exec code that has no form with the offset from the GOT: nothing decodes to an instruction around
// the field, the instruction is none that compilers make, or data holds the offset.
//# ExpectError: a.o: .text+0x1: R_X86_64_TPOFF32 against x: this TLS model needs a place in the static TLS block
//# ExpectError: a.o: .text+0x8: R_X86_64_TPOFF32 against x: this TLS model
//# ExpectError: a.o: .text+0x10: R_X86_64_TPOFF32 against x: this TLS model
//# ExpectError: a.o: .text+0x18: R_X86_64_TPOFF32 against x: this TLS model
//# ExpectError: a.o: .data+0x0: R_X86_64_TPOFF64 against x: this TLS model
        .byte 0x06
        .long x@TPOFF
        cmpq $x@TPOFF, %rbx
        popq %fs:x@TPOFF
        movl %fs:x@TPOFF(%ebx), %eax
        .data
        .quad x@TPOFF
        .section .tdata,"awT",@progbits
        .globl x
x:      .quad 1
