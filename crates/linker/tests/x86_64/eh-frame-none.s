// What `ld -r` leaves of records whose functions it discarded: relocations that do nothing, also where other records
// stand now.
//# GcSections: yes
//# ExpectUnwind: f
//# ExpectSection: .gcc_except_table
        .globl f
f:      ret
.Lend:
        .section .gcc_except_table,"a"
table:  .byte 0xff
        .section .eh_frame,"a",@progbits
.Lcie:  .long .Lfde - .Lcie - 4, 0
        .byte 1
        .asciz "zLR"
        .byte 1, 0x78, 16, 2, 0x1b, 0x1b
        .byte 12, 7, 8
        .balign 4
.Lfde:  .long .Lgone - .Lfde - 4
        .long . - .Lcie
.Lat:   .long f - .
        .long .Lend - f
        .byte 4
        .long table - .
        .balign 4
        .reloc .Lfde + 1, R_X86_64_NONE
        .reloc .Lat, R_X86_64_NONE
.Lgone: .long .Lthe_end - .Lgone - 4
        .long . - .Lcie
.Lwas:  .long 0
        .long 1
        .byte 4
        .long 0
        .balign 4
        .reloc .Lwas, R_X86_64_NONE
        .reloc .Lwas + 9, R_X86_64_NONE
.Lthe_end:
