// The default version of a definition is its plain name, in archives too; who asks for that version gets it. What asks for
// another version is an import of the name with its version, and what is no default is defined under that name.
//# ExpectSymbol: f
//# ExpectSymbol: d
//# ExpectSymbol: e@V1
//# ExpectSymbol: m
//# ExpectNoSymbol: d@@V2
//# ExpectNoSymbol: d@V2
//# ExpectImport: memcpy@GLIBC_2.2.5
//# ExpectImport: d@V1
//# ExpectWord32: f+1 = d - (f+1) - 4
//# ExpectWord32: f+6 = d - (f+6) - 4
//# ExpectWord32: f+11 = plt(d@V1) - (f+11) - 4
//# ExpectWord32: f+16 = plt(memcpy@GLIBC_2.2.5) - (f+16) - 4
//# ExpectWord32: f+21 = m - (f+21) - 4
        .globl f
f:      call d@PLT
        call d_new@PLT
        call d_old@PLT
        call old_memcpy@PLT
        call m@PLT
        .symver d_new, d@V2
        .symver d_old, d@V1
        .symver old_memcpy, memcpy@GLIBC_2.2.5
//# Object: b.o
        .globl d_impl
d_impl: ret
        .symver d_impl, d@@V2
        .globl e_impl
e_impl: ret
        .symver e_impl, e@V1
//# Object: c.o
        .globl m_impl
m_impl: ret
        .symver m_impl, m@@V1
//# Archive: lib.a = c.o
