// L + A - P in data: through the PLT for imports, direct within the image; zero, as null, for a weak function that is
// not there.
//# ExpectWord32: t = plt(import) - t
//# ExpectWord32: t+4 = f - (t+4) + 4
//# ExpectWord32: t+8 = 0x7fffffff
//# ExpectWord32: t+12 = 0x80000000
//# ExpectWord32: t+16 = 0
//# ExpectDynamic: GLOB_DAT import at got(import)
//# ExpectDynamicCount: 1
        .globl f, t
f:      ret
        .section .rodata,"a"
t:      .word import@PLT - .
        .word f@PLT - . + 4
        .zero 8
        .weak nothing
        .hidden nothing
        .word nothing@PLT - .
        .reloc t+8, R_AARCH64_PLT32, t+8+0x7fffffff
        .reloc t+12, R_AARCH64_PLT32, t+12-0x80000000
