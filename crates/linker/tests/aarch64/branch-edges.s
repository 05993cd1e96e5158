// The farthest that a branch of each kind reaches. Branches to places outside the code need no thunk.
//# ExpectValue: operand(f) = f+0x7fffffc
//# ExpectValue: operand(f+4) = f+4-0x8000000
//# ExpectValue: operand(f+8) = f+8+0x7fffffc
//# ExpectValue: operand(f+12) = f+12-0x8000000
//# ExpectValue: operand(f+16) = f+16+0xffffc
//# ExpectValue: operand(f+20) = f+20-0x100000
//# ExpectValue: operand(f+24) = f+24+0x7ffc
//# ExpectValue: operand(f+28) = f+28-0x8000
//# ExpectNoSection: .plt
        .globl f
f:      .reloc ., R_AARCH64_CALL26, f+0x7fffffc
        bl #0
        .reloc ., R_AARCH64_CALL26, f+4-0x8000000
        bl #0
        .reloc ., R_AARCH64_JUMP26, f+8+0x7fffffc
        b #0
        .reloc ., R_AARCH64_JUMP26, f+12-0x8000000
        b #0
        .reloc ., R_AARCH64_CONDBR19, f+16+0xffffc
        b.eq #0
        .reloc ., R_AARCH64_CONDBR19, f+20-0x100000
        cbnz w0, #0
        .reloc ., R_AARCH64_TSTBR14, f+24+0x7ffc
        tbz w0, #0, #0
        .reloc ., R_AARCH64_TSTBR14, f+28-0x8000
        tbnz x0, #40, #0
