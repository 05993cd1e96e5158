// Compact relocations.
//# Args: -Wa,--crel,--allow-experimental-crel
//# ExpectError: a.o: relocations in the form SHT_CREL are not supported yet
        .globl f
f:      call g@PLT
