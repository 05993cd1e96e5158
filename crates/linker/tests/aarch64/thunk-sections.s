// Thunks stand in code that has bytes in the file, and in no section that a program walks from its start to its end.
//# ExpectValue: far - start(.far) = 0x8000000
//# ExpectValue: operand(f) = after + 4
//# ExpectValue: operand(operand(f)+4) + operand(operand(f)+8) = far
//# ExpectValue: operand(hook) = after + 4
//# ExpectValue: operand(after) = f
//# ExpectValue: end(.text) = after + 4 + 16
//# ExpectValue: end(hooks) - start(hooks) = 8
//# ExpectValue: operand(word) = f
        .globl f, hook, after, far, word
f:      bl far
        ret
        .section hooks,"ax",@progbits
hook:   bl far
        ret
        .section .text.after,"ax",@progbits
after:  bl f
        .section .far,"ax",@nobits
        .zero 0x8000000
far:    .zero 4
        .section words,"ax",@progbits
word:   bl f
        adrp x0, __start_hooks
        adrp x0, __stop_hooks
