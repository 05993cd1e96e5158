// A member that is needed is damaged.
//# Truncate: b.o = 100
//# ExpectError: lib.a(b.o): malformed object:
        .globl f
f:      jmp g@PLT
//# Object: b.o
        .globl g
g:      ret
//# ArchiveWithoutIndex: lib.a = b.o
