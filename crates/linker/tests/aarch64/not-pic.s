// Addresses in instructions and in words too short for them do not move with the image.
//# ExpectError: a.o: .text+0x0: R_AARCH64_MOVW_UABS_G0_NC against d is not position-independent: compile with -fPIC
//# ExpectError: .text+0x4: R_AARCH64_MOVW_UABS_G1_NC against d is not
//# ExpectError: .text+0x8: R_AARCH64_MOVW_UABS_G2_NC against d is not
//# ExpectError: .text+0xc: R_AARCH64_MOVW_UABS_G3 against d is not
//# ExpectError: .text+0x10: R_AARCH64_MOVW_SABS_G0 against d is not
//# ExpectError: .text+0x14: R_AARCH64_MOVW_UABS_G0 against import is not
//# ExpectError: .text+0x18: R_AARCH64_ADR_PREL_PG_HI21 against import is not
//# ExpectError: .text+0x1c: R_AARCH64_ADD_ABS_LO12_NC against import is not
//# ExpectError: .text+0x20: R_AARCH64_LDST8_ABS_LO12_NC against import is not
//# ExpectError: .text+0x24: R_AARCH64_LDST128_ABS_LO12_NC against import is not
//# ExpectError: .text+0x28: R_AARCH64_ADR_PREL_LO21 against import is not
//# ExpectError: .data+0x0: R_AARCH64_ABS32 against d is not
//# ExpectError: .data+0x4: R_AARCH64_ABS16 against import is not
//# ExpectError: .data+0x8: R_AARCH64_PREL32 against import is not
//# ExpectError: .rodata+0x0: R_AARCH64_ABS64 against d would change read-only bytes at load: compile with -fPIC
        .globl d
        movz x0, #:abs_g0_nc:d
        movk x0, #:abs_g1_nc:d
        movk x0, #:abs_g2_nc:d
        movk x0, #:abs_g3:d
        movz x0, #:abs_g0_s:d
        movz x0, #:abs_g0:import
        adrp x0, import
        add x0, x0, :lo12:import
        ldrb w0, [x0, :lo12:import]
        ldr q0, [x0, :lo12:import]
        adr x0, import
        .data
d:      .word d
        .hword import
        .hword 0
        .word import - .
        .section .rodata,"a"
        .quad d
