// Two numbers under one name are two definitions.
//# ExpectError: number: defined twice: in a.o: absolute+0x1234 and in b.o: absolute+0x1235
        .globl number
        .set number, 0x1234
//# Object: b.o
        .globl number
        .set number, 0x1235
