// A relocation whose field ends after its section.
//# ExpectError: a.o: .data+0x1: R_X86_64_64 against own lies outside its section: the object is damaged, make it anew
        .data
        .globl own
own:    .quad 0
        .reloc own+1, R_X86_64_64, own
