// An image without a GOT still has a place from which distances count.
//# ExpectValue: f+2 + word64(f+2) + word64(f+12) = own
//# ExpectNoSection: .got
        .globl f, own
f:      movabs $0, %rax
        .reloc f+2, R_X86_64_GOTPC64, _GLOBAL_OFFSET_TABLE_
        movabs $own@GOTOFF, %rax
        .data
own:    .quad 0
