// Records of several objects, with a personality and a table for each, and a function without any.
//# ExpectUnwind: f g h
//# ExpectDynamic: ABSOLUTE __gxx_personality_v0 at personality
//# ExpectValue: start(.eh_frame_hdr) + 4 + word32(start(.eh_frame_hdr)+4) = start(.eh_frame)
//# ExpectWord32: end(.eh_frame)-4 = 0
        .globl f, none, personality
f:      .cfi_startproc
        .cfi_personality 0x9b, DW.ref
        .cfi_lsda 0x1b, table
        ret
        .cfi_endproc
none:   ret
        .data
        .balign 8
personality:
DW.ref: .quad __gxx_personality_v0
        .section .gcc_except_table,"a"
table:  .byte 0xff
//# Object: b.o
        .globl g, h
g:      .cfi_startproc
        .cfi_def_cfa_offset 16
        ret
        .cfi_endproc
h:      .cfi_startproc
        ret
        .cfi_endproc
