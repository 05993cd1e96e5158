// The same number under one name in two objects is one definition.
//# ExpectValue: number = 0x1234
        .globl number
        .set number, 0x1234
//# Object: b.o
        .globl number
        .set number, 0x1234
