// Names that mean a part of the image.
//# ExpectDynamic: RELATIVE at table = 0
//# ExpectDynamic: RELATIVE at table+8 = start(.dynamic)
//# ExpectDynamic: RELATIVE at table+16 = start(.eh_frame_hdr)
//# ExpectDynamic: RELATIVE at table+24 = end(.text)
//# ExpectDynamic: RELATIVE at table+32 = end(.data)
//# ExpectDynamic: RELATIVE at table+40 = end(.data)
//# ExpectDynamic: RELATIVE at table+48 = end(.bss)
        .globl f, table
f:      .cfi_startproc
        ret
        .cfi_endproc
        .data
        .balign 8
table:  .quad __ehdr_start, _DYNAMIC, __GNU_EH_FRAME_HDR, _etext, _edata, __bss_start, _end
        .bss
        .zero 100
