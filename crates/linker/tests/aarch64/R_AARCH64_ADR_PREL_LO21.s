// S + A - P of `adr` and of loads of literals, at their edges.
//# ExpectValue: operand(f) = d+1
//# ExpectValue: operand(f+4) = d+4
//# ExpectValue: operand(f+8) = f+8+0xfffff
//# ExpectValue: operand(f+12) = f+12-0x100000
//# ExpectValue: operand(f+16) = f+16+0xffffc
//# ExpectValue: operand(f+20) = f+20-0x100000
//# ExpectWord32: f+24 = 0x58000041
        .globl f, d
f:      adr x0, d+1
        ldr w0, d+4
        .reloc ., R_AARCH64_ADR_PREL_LO21, f+8+0xfffff
        adr x1, #0
        .reloc ., R_AARCH64_ADR_PREL_LO21, f+12-0x100000
        adr x1, #0
        .reloc ., R_AARCH64_LD_PREL_LO19, f+16+0xffffc
        ldr x1, #0
        .reloc ., R_AARCH64_LD_PREL_LO19, f+20-0x100000
        ldr q1, #0
        .reloc ., R_AARCH64_LD_PREL_LO19, f+32
        ldr x1, #0
        .data
d:      .quad 0
