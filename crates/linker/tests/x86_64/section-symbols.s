// Locals are named by their section and a distance, also in other sections and with merged sections.
//# ExpectWord32: f+3 = g - (f+3) - 4
//# ExpectDynamic: RELATIVE at table = text + 5
//# ExpectDynamic: RELATIVE at table+8 = g
        .globl f, text, table, g
f:      lea .Llocal(%rip), %rax
        .section .text.other,"ax"
        nop
g:
.Llocal: ret
        .section .rodata.str1.1,"aMS",@progbits,1
text:   .ascii "hello"
.Lworld: .asciz " world"
        .data
        .balign 8
table:  .quad .Lworld, .Llocal
