// Large common symbols (SHN_X86_64_LCOMMON), which gcc makes in the medium model, are common symbols.
//# Poke: a.o+0x5e = 02 ff
//# ExpectSymbol: x section=.bss size=16 type=OBJECT
        .comm x, 4, 8
//# Object: b.o
        .comm x, 16, 4
