// What finds an indirect function is called at load, so it must be code.
//# ExpectError: a.o: in_data: what finds an indirect function must be code
//# ExpectError: a.o: at_end: what finds an indirect function must be code
//# ExpectError: a.o: number: what finds an indirect function must be code
        .globl in_data, at_end, number
        .type in_data, @gnu_indirect_function
        .type at_end, @gnu_indirect_function
        .type number, @gnu_indirect_function
        .text
        ret
at_end:
        .set number, 0x1000
        .data
in_data:
        .quad 0
