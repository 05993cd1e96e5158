// One past the edges of what does not depend on where something is, and GOT entries out of a displacement's reach.
//# ExpectError: .text.a+0x0: R_X86_64_GOT32 against import out of range: 0x80000000 not in [-2^31, 2^31)
//# ExpectError: .text.b+0x0: R_X86_64_GOT32 against import out of range: -0x80000001 not in
//# ExpectError: .text.c+0x0: R_X86_64_DTPOFF32 against variable out of range: 0x80000000 not in [-2^31, 2^31)
//# ExpectError: .text.d+0x0: R_X86_64_DTPOFF32 against variable out of range: -0x80000001 not in
//# ExpectError: .text.e+0x0: R_X86_64_SIZE32 against sized out of range: 0x100000000 not in [0, 2^32)
//# ExpectError: .text.f+0x0: R_X86_64_SIZE32 against sized out of range: -0x1 not in
//# ExpectError: .text.g+0x0: R_X86_64_GOTPCREL against import out of range: 0x8100
//# ExpectError: .text.h+0x0: R_X86_64_GOTPCRELX against import out of range: 0x8100
//# ExpectError: .text.i+0x0: R_X86_64_REX_GOTPCRELX against import out of range: 0x8100
//# ExpectError: .text.j+0x0: R_X86_64_CODE_4_GOTPCRELX against import out of range: 0x8100
//# ExpectError: .text.k+0x0: R_X86_64_GOTPC32 against import out of range: 0x8100
//# ExpectError: .text.l+0x0: R_X86_64_PLT32 against import out of range: 0x8000
//# ExpectError: .text.m+0x0: R_X86_64_TLSGD against variable out of range: 0x8100
//# ExpectError: .text.n+0x0: R_X86_64_TLSLD against variable out of range: 0x8100
//# ExpectError: .text.o+0x0: R_X86_64_GOTTPOFF against variable out of range: 0x8100
//# ExpectError: .text.p+0x0: R_X86_64_CODE_4_GOTTPOFF against variable out of range: 0x8100
//# ExpectError: .text.q+0x0: R_X86_64_GOTPC32_TLSDESC against variable out of range: 0x8100
//# ExpectError: .text.r+0x0: R_X86_64_CODE_4_GOTPC32_TLSDESC against variable out of range: 0x8100
        .macro word name, type, value
        .section .text.\name,"ax"
        .zero 8
        .reloc .text.\name, R_X86_64_\type, \value
        .endm
        word a, GOT32, import+0x80000000
        word b, GOT32, import-0x80000001
        word c, DTPOFF32, variable+0x7ffffff8
        word d, DTPOFF32, variable-0x80000009
        word e, SIZE32, sized+0xfffffff8
        word f, SIZE32, sized-9
        word g, GOTPCREL, import+0x7fffffff
        word h, GOTPCRELX, import+0x7fffffff
        word i, REX_GOTPCRELX, import+0x7fffffff
        word j, CODE_4_GOTPCRELX, import+0x7fffffff
        word k, GOTPC32, import+0x7fffffff
        word l, PLT32, import+0x7fffffff
        word m, TLSGD, variable+0x7fffffff
        word n, TLSLD, variable+0x7fffffff
        word o, GOTTPOFF, variable+0x7fffffff
        word p, CODE_4_GOTTPOFF, variable+0x7fffffff
        word q, GOTPC32_TLSDESC, variable+0x7fffffff
        word r, CODE_4_GOTPC32_TLSDESC, variable+0x7fffffff
        .data
        .globl sized
sized:  .quad 0
        .size sized, 8
        .section .tdata,"awT",@progbits
        .quad 1
        .globl variable
variable: .quad 2
