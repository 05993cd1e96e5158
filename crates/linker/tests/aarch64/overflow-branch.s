// Branches that no thunk can help: one past each edge of the short ones, and places between instructions.
//# ExpectError: R_AARCH64_CONDBR19 against .text.cond out of range: 0x100000 not in the multiples of 4 in [-2^20, 2^20)
//# ExpectError: R_AARCH64_CONDBR19 against .text.condb out of range: -0x100004 not in
//# ExpectError: R_AARCH64_CONDBR19 against .text.condc out of range: 0x3 not in
//# ExpectError: R_AARCH64_TSTBR14 against .text.test out of range: 0x8000 not in the multiples of 4 in [-2^15, 2^15)
//# ExpectError: R_AARCH64_TSTBR14 against .text.testb out of range: -0x8004 not in
//# ExpectError: R_AARCH64_CALL26 against .text.call out of range: 0x2 not in the multiples of 4 in [-2^27, 2^27)
//# ExpectError: R_AARCH64_JUMP26 against .text.jump out of range: 0x1 not in the multiples of 4 in [-2^27, 2^27)
        .macro at name, type, distance
        .section .text.\name,"ax"
        .zero 8
        .reloc .text.\name, \type, .text.\name+\distance
        .endm
        at cond, R_AARCH64_CONDBR19, 0x100000
        at condb, R_AARCH64_CONDBR19, -0x100004
        at condc, R_AARCH64_CONDBR19, 3
        at test, R_AARCH64_TSTBR14, 0x8000
        at testb, R_AARCH64_TSTBR14, -0x8004
        at call, R_AARCH64_CALL26, 2
        at jump, R_AARCH64_JUMP26, 1
