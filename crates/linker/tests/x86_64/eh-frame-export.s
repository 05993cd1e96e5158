// Unwind records that are kept move together, so what is defined among them has no address.
//# ExpectError: a.o: records: unwind records move and go, so none can be exported
        .section .eh_frame, "a", @progbits
        .globl records
records:
        .long 0
