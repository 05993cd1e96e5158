// A section that is loaded with SHF_COMPRESSED: the flag is put into the section's header.
//# Poke: a.o+0x188 = 02 08
//# ExpectError: a.o: section .rodata.z: it is loaded, so it cannot be compressed: compress debug sections only
        .globl f
f:      ret
        .section .rodata.z,"a",@progbits
        .quad 1, 2, 3, 4
