// GOT entries of thread-local variables that are out of reach of one instruction, or between its steps.
//# ExpectError: .text.a+0x0: R_AARCH64_TLSGD_ADR_PREL21 against x out of range: 0x1
//# ExpectError: .text.b+0x0: R_AARCH64_TLSLD_ADR_PREL21 against x out of range: 0x1
//# ExpectError: .text.c+0x0: R_AARCH64_TLSLD_LD_PREL19 against x out of range: 0x1
//# ExpectError: .text.d+0x0: R_AARCH64_TLSIE_LD_GOTTPREL_PREL19 against x out of range: 0x1
//# ExpectError: .text.e+0x0: R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC against x out of range: 0x
//# ExpectError: .text.f+0x0: R_AARCH64_TLSDESC_LD_PREL19 against x out of range: 0x1
//# ExpectError: .text.g+0x0: R_AARCH64_TLSDESC_ADR_PREL21 against x out of range: 0x1
//# ExpectError: .text.h+0x0: R_AARCH64_TLSDESC_LD64_LO12 against x out of range: 0x
//# ExpectError: .text.i+0x0: R_AARCH64_TLSGD_ADR_PAGE21 against x out of range: 0x1000
        .macro entry name, type, addend
        .section .text.\name,"ax"
        .zero 8
        .reloc .text.\name, R_AARCH64_\type, x+\addend
        .endm
        entry a, TLSGD_ADR_PREL21, 0x100000
        entry b, TLSLD_ADR_PREL21, 0x100000
        entry c, TLSLD_LD_PREL19, 0x100000
        entry d, TLSIE_LD_GOTTPREL_PREL19, 0x100000
        entry e, TLSIE_LD64_GOTTPREL_LO12_NC, 4
        entry f, TLSDESC_LD_PREL19, 0x100000
        entry g, TLSDESC_ADR_PREL21, 0x100000
        entry h, TLSDESC_LD64_LO12, 4
        entry i, TLSGD_ADR_PAGE21, 0x100000000
        .section .tdata,"awT",@progbits
        .globl x
x:      .quad 1
