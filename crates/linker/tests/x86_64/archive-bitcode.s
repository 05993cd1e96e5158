// The linker makes no code of bitcode, in archives neither.
//# ExpectError: lib.a(b.o): LLVM bitcode, not machine code: compile it first
        .globl f
f:      jmp g@PLT
//# Raw: b.o = 42 43 c0 de 00 00 00 00
//# ArchiveWithoutIndex: lib.a = b.o
