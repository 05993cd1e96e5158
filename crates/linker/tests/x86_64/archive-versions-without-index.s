// Who asks for a version gets the member that defines it, where the archive has no index too.
//# ExpectSymbol: f
//# ExpectSymbol: new
//# ExpectSymbol: old@V1
//# ExpectDynamicCount: 0
//# ExpectWord32: f+1 = new - (f+1) - 4
//# ExpectWord32: f+6 = old@V1 - (f+6) - 4
        .globl f
f:      call new_too@PLT
        call old_too@PLT
        .symver new_too, new@V2
        .symver old_too, old@V1
//# Object: b.o
        .globl new_impl
new_impl: ret
        .symver new_impl, new@@@V2
//# Object: c.o
        .globl old_impl
old_impl: ret
        .symver old_impl, old@V1
//# ArchiveWithoutIndex: lib.a = b.o c.o
