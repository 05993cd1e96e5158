// A weak thread-local variable that the image should define and does not has no address that a program could tell from
// another's, and a number is no thread-local variable.
//# ExpectError: a.o: .text+0x0: weak is hidden, so the image must define it, but no input does: add the object that does
//# ExpectError: a.o: .text+0x4: weak is hidden
//# ExpectError: a.o: .text+0xc: weak is hidden
//# ExpectError: a.o: .text+0x8: weak is hidden
//# ExpectError: number: an ordinary variable is used as if it were thread-local
//# ExpectError: number: an ordinary variable is used as if it were thread-local
        .weak weak
        .hidden weak
        adrp x0, :tlsdesc:weak
        ldr x0, :gottprel:weak
        .reloc ., R_AARCH64_TLSGD_ADR_PREL21, weak
        adr x0, #0
        add x1, x0, :dtprel_lo12:weak
        .reloc ., R_AARCH64_TLSGD_ADR_PREL21, number
        adr x0, #0
        .reloc ., R_AARCH64_TLSIE_LD_GOTTPREL_PREL19, number
        ldr x0, #0
        .section .tdata,"awT",@progbits
x:      .quad 1
//# Object: b.o
        .globl number
number = 8
