// Sections with a suffix join the one without; own names stay; what is empty or not loaded takes nothing.
//# ExpectSymbol: hot section=.text
//# ExpectSymbol: constant section=.rodata
//# ExpectSymbol: relro section=.data.rel.ro
//# ExpectSymbol: data section=.data
//# ExpectSymbol: zero section=.bss
//# ExpectSymbol: own section=own_name
//# ExpectNoSection: .debug_info
//# ExpectNoSection: .comment
//# ExpectNoSection: .excluded
        .globl hot, constant, relro, data, zero, own
        .section .text.hot.f,"ax"
hot:    ret
        .section .rodata.str1.1,"aMS",@progbits,1
constant: .asciz "text"
        .section .data.rel.ro.local,"aw"
relro:  .quad constant
        .section .data.rel.local,"aw"
data:   .quad constant
        .section .bss.zero,"aw",@nobits
zero:   .zero 10
        .section own_name,"aw"
own:    .quad 1
        .section .debug_info,"",@progbits
        .quad own
        .section .comment,"MS",@progbits,1
        .asciz "compiler"
        .section .excluded,"ae",@progbits
        .quad 1
