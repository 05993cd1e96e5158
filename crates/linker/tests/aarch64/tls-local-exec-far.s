// A thunk changes registers, so an instruction has no way through one to its code out of line.
//# ExpectError: a.o: .text+0x0: R_AARCH64_JUMP26 against .text out of range: 0x8000008 not in the multiples of 4 in [-2^27, 2^27)
//# ExpectError: R_AARCH64_JUMP26 against .text out of range: -0x8000020 not in
        .globl f
f:      add x0, x1, :tprel_hi12:x
        ret
        .zero 0x8000000
        .section .tdata,"awT",@progbits
x:      .quad 1
