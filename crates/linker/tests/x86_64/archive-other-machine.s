// A member that is needed is for another machine.
//# Poke: b.o+0x12 = b7 00
//# ExpectError: lib.a(b.o): for aarch64, but a.o is for x86_64: compile all for one machine
        .globl f
f:      jmp g@PLT
//# Object: b.o
        .globl g
g:      ret
//# Archive: lib.a = b.o
