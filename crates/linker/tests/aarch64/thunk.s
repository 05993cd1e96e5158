// Branches over more than 128 MiB go through thunks, in both directions and to the PLT; near ones do not. One thunk
// serves all branches to one place from around it; those to a function and to a place in it have one each.
//# ExpectValue: last - first = 0x8800000 + 3*16
//# ExpectValue: operand(operand(first)+4) + operand(operand(first)+8) = last
//# ExpectWord32: operand(first) = 0xd503245f
//# ExpectWord32: operand(first)+12 = 0xd61f0200
//# ExpectValue: operand(first+4) = operand(first)
//# ExpectValue: operand(operand(first+8)+4) + operand(operand(first+8)+8) = last+4
//# ExpectValue: operand(operand(first+12)+4) + operand(operand(first+12)+8) = plt(import)
//# ExpectValue: operand(first+16) = near
//# ExpectValue: operand(near) = first
//# ExpectValue: operand(middle) = first
//# ExpectValue: operand(middle+4) = last
//# ExpectValue: operand(middle+8) = plt(import)
//# ExpectValue: operand(operand(last)+4) + operand(operand(last)+8) = first
//# ExpectValue: operand(operand(last+4)+4) + operand(operand(last+4)+8) = first
//# ExpectValue: operand(last+8) = plt(import)
//# ExpectValue: operand(last+12) = middle
        .globl first, near, middle, last
first:  bl last
        b last
        bl last+4
        bl import
        bl near
        ret
        .section .text.near,"ax"
near:   b first
        .section .text.a,"ax"
        .zero 0x4400000 - 28
        .section .text.middle,"ax"
middle: bl first
        bl last
        bl import
        ret
        .section .text.b,"ax"
        .zero 0x4400000 - 16
        .section .text.last,"ax"
last:   bl first
        b first
        bl import
        bl middle
        ret
