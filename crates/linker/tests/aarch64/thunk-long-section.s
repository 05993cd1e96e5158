// A section that is longer than branches reach: those from its first part go through thunks before it, those from its
// last part through thunks behind it.
//# ExpectValue: operand(operand(f)+4) + operand(operand(f)+8) = after
//# ExpectValue: operand(f) + 32 = f
//# ExpectValue: operand(operand(f+4)+4) + operand(operand(f+4)+8) = plt(import)
//# ExpectValue: operand(last) = plt(import)
//# ExpectValue: operand(last+4) = after
//# ExpectValue: operand(after) = after + 4
//# ExpectValue: operand(operand(after)+4) + operand(operand(after)+8) = f
        .globl f, last, after
f:      bl after
        bl import
        .zero 0x8800000
last:   bl import
        bl after
        .section .text.after,"ax"
after:  bl f
