// Records move and go, so nothing else can point to them.
//# ExpectError: a.o: .data+0x0: refers into the unwind records of .eh_frame
f:      .cfi_startproc
        ret
        .cfi_endproc
        .data
        .quad begin
        .section .eh_frame,"a",@progbits
begin:
