//# DebugInfo: keep
//# ExpectSection: .debug_info
//# ExpectSection: .debug_str
//# ExpectSection: .symtab
//# ExpectSection: .strtab
        .globl f
f:      ret
        .section .debug_info,"",@progbits
        .quad f
        .long .Lstring
        .section .debug_str,"MS",@progbits,1
        .asciz "one"
.Lstring: .asciz "two"
