// GOT entries that are out of reach of one instruction.
//# ExpectError: .text.a+0x0: R_AARCH64_GOT_LD_PREL19 against import out of range: 0x1
//# ExpectError: .text.b+0x0: R_AARCH64_LD64_GOTPAGE_LO15 against import out of range: 0x8
//# ExpectError: .text.c+0x0: R_AARCH64_LD64_GOTOFF_LO15 against import out of range: 0x8000 not in the multiples of 8 in [0, 2^15)
//# ExpectError: .text.d+0x0: R_AARCH64_LD64_GOTOFF_LO15 against import out of range: -0x8 not in
//# ExpectError: .text.e+0x0: R_AARCH64_MOVW_GOTOFF_G0 against import out of range: 0x10000 not in [-2^16, 2^16)
//# ExpectError: .text.f+0x0: R_AARCH64_LD64_GOT_LO12_NC against import out of range: 0x
        .macro entry name, type, addend=0
        .section .text.\name,"ax"
        .zero 8
        .reloc .text.\name, R_AARCH64_\type, import+\addend
        .endm
        entry a, GOT_LD_PREL19, 0x100000
        entry b, LD64_GOTPAGE_LO15, 0x8000
        entry c, LD64_GOTOFF_LO15, 0x8000
        entry d, LD64_GOTOFF_LO15, -8
        entry e, MOVW_GOTOFF_G0, 0x10000
        entry f, LD64_GOT_LO12_NC, 4
