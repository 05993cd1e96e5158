// What describes a section (SHF_LINK_ORDER) is needed when that is, with what it refers to, also where __start_ and
// __stop_ are about it.
//# VersionScript: { global: f; local: *; };
//# GcSections: yes
//# ExpectSection: about_f
//# ExpectNoSection: about_dead
//# ExpectWord32: f+3 = start(all) - (f+3) - 4
//# ExpectValue: end(all) - start(all) = 8
//# ExpectImport: named_there
//# ExpectNoSymbol: named_by_dead
        .section .text.f,"ax",@progbits
        .globl f
f:      leaq __start_all(%rip), %rax
        ret
        .section .text.dead,"ax",@progbits
        ret
        .section about_f,"awo",@progbits,.text.f
        .quad named
        .section about_dead,"awo",@progbits,.text.dead
        .long 1
        .section all,"awo",@progbits,.text.f
        .quad .text.f
        .section all,"awo",@progbits,.text.dead,unique,1
        .quad named_by_dead
        .section .data.named,"aw",@progbits
named:  .quad named_there
