// L + A - P of branches: through the PLT for imports, direct within the image; a call of a weak function that is not
// there goes on behind the instruction.
//# ExpectValue: operand(f) = plt(import)
//# ExpectValue: operand(f+4) = plt(import)
//# ExpectValue: operand(f+8) = plt(import)
//# ExpectValue: operand(f+12) = plt(import)
//# ExpectValue: operand(f+16) = plt(import)
//# ExpectValue: operand(f+20) = g
//# ExpectValue: operand(f+24) = g+4
//# ExpectValue: operand(f+28) = f+32
//# ExpectValue: operand(f+32) = f+36
//# ExpectValue: operand(f+36) = f
//# ExpectWord32: f+40 = 0x94000002
//# ExpectDynamic: GLOB_DAT import at got(import)
//# ExpectDynamicCount: 1
//# ExpectValue: end(.plt) - start(.plt) = 16
//# ExpectValue: align(.plt) = 16
        .globl f, g
        .weak nothing
        .hidden nothing
f:      bl import
        b import
        b.ne import
        cbz x0, import
        tbz x0, #3, import
        bl g
        b g+4
        bl nothing
        b nothing
        bl f
        .reloc ., R_AARCH64_CALL26, f+48
        bl #0
        ret
//# Object: b.o
        .globl g
g:      nop
        ret
