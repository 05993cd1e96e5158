// Page(S + A) - Page(P), at the edges; without a check the page wraps.
//# ExpectValue: operand(f) = page(d)
//# ExpectValue: operand(f+4) = page(d+0x1234)
//# ExpectValue: operand(f+8) = page(f)+0xfffff000
//# ExpectValue: operand(f+12) = page(f)-0x100000000
//# ExpectValue: operand(f+16) = page(f)-0x100000000
//# ExpectValue: operand(f+20) = page(d)
        .globl f, d
        .balign 4096
f:      adrp x0, d
        adrp x1, d+0x1234
        .reloc ., R_AARCH64_ADR_PREL_PG_HI21, f+0xffffffff
        adrp x2, #0
        .reloc ., R_AARCH64_ADR_PREL_PG_HI21, f-0x100000000
        adrp x3, #0
        .reloc ., R_AARCH64_ADR_PREL_PG_HI21_NC, f+0x100000000
        adrp x4, #0
        adrp x5, :pg_hi21_nc:d
        .data
        .zero 0xabc
d:      .quad 0
