// Sections that neither an export nor a constructor needs go, with their imports and unwind records.
//# VersionScript: { global: f; local: *; };
//# GcSections: yes
//# ExpectSymbol: f
//# ExpectImport: needed
//# ExpectImport: constructed
//# ExpectImport: personality
//# ExpectImport: of_the_set
//# ExpectNoSymbol: unneeded
//# ExpectNoSymbol: of_no_set
//# ExpectNoSymbol: other_personality
//# ExpectInit: start(.text)+24
//# ExpectNoSection: other_set
//# ExpectSection: kept_set
        .section .text.f,"ax",@progbits
        .globl f
        .type f, @function
f:      .cfi_startproc
        .cfi_personality 0x9b, personality_word
        call g
        lea __start_kept_set(%rip), %rax
        ret
        .cfi_endproc
        .size f, . - f
        .section .text.g,"ax",@progbits
        .p2align 3
g:      jmp needed@PLT
        .section .text.unneeded,"ax",@progbits
        .globl h
h:      .cfi_startproc
        .cfi_personality 0x9b, other_word
        jmp unneeded@PLT
        .cfi_endproc
        .section .text.constructor,"ax",@progbits
        .p2align 3
c:      jmp constructed@PLT
        .section .init_array,"aw",@init_array
        .quad c
        .section .data.rel.personality,"aw",@progbits
personality_word: .quad personality
        .section .data.rel.other,"aw",@progbits
other_word: .quad other_personality
        .section kept_set,"aw",@progbits
        .quad of_the_set
        .section other_set,"aw",@progbits
        .quad of_no_set
