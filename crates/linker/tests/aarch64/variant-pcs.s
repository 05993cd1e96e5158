// The mark of a function with a procedure call standard of its own goes into the dynamic symbol table, whoever has it:
// a definition, a reference, or a reference to another object's definition. The image needs no DT_AARCH64_VARIANT_PCS,
// which is for what is bound lazily.
//# ExpectImport: import
//# ExpectWord8: start(.dynsym) + 24 + 5 = 0x80
//# ExpectSymbol: base other=0x0
//# ExpectSymbol: own other=0x83
//# ExpectSymbol: other other=0x80
        .text
        .globl base, own
        .variant_pcs import
        .variant_pcs own
        .variant_pcs other
        .protected own
        .type base, %function
        .type own, %function
base:   bl import
        bl other
        ret
own:    ret
//# Object: b.o
        .globl other
        .type other, %function
other:  ret
