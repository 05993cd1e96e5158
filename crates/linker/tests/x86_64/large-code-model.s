// What -mcmodel=large uses: the GOT's address, and 64-bit distances from it.
//# ExpectValue: f+2 + word64(f+2) - 2 = start(.got)
//# ExpectWord64: f+12 = own - start(.got)
//# ExpectWord64: f+22 = got(import) - start(.got)
//# ExpectWord64: f+32 = got(own) - start(.got)
//# ExpectWord64: f+42 = plt(function) - start(.got)
//# ExpectWord64: f+52 = f - start(.got)
//# ExpectWord64: f+62 = got(function) - start(.got)
//# ExpectWord64: f+72 = got(import) - (f+72)
//# ExpectWord32: f+80 = start(.got) - (f+80)
//# ExpectWord32: f+84 = got(import) - start(.got)
//# ExpectDynamic: RELATIVE at got(own) = own
//# ExpectDynamic: GLOB_DAT import at got(import)
//# ExpectDynamic: GLOB_DAT function at got(function)
        .globl f, own
f:      movabs $_GLOBAL_OFFSET_TABLE_-f, %rax
        movabs $own@GOTOFF, %rax
        movabs $import@GOT, %rax
        movabs $own@GOT, %rax
        movabs $function@PLTOFF, %rax
        movabs $f@PLTOFF, %rax
        movabs $0, %rax
        .reloc f+62, R_X86_64_GOTPLT64, function
        movabs $0, %rax
        .reloc f+72, R_X86_64_GOTPCREL64, import
        .long 0, 0
        .reloc f+80, R_X86_64_GOTPC32, _GLOBAL_OFFSET_TABLE_
        .reloc f+84, R_X86_64_GOT32, import
        .data
own:    .quad 0
