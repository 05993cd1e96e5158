// A type that the machine does not have.
// The type's number is in the eighth byte of the only relocation.
//# Poke: a.o+0x80 = c8
//# ExpectError: a.o: .data+0x0: unknown relocation type 200 against own
        .section .data,"aw"
        .globl own
own:    .quad 0
        .reloc own, R_X86_64_64, own
