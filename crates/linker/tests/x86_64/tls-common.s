// A thread-local common symbol, as Fortran compilers make, stands in the zeroed part of the TLS template.
//# Poke: a.o+0x5c = 16
//# ExpectSymbol: x section=.tbss size=16 type=TLS
//# ExpectDynamic: TLS_MODULE . at start(.got)
//# ExpectValue: align(.tbss) = 8
        .comm x, 16, 8
//# Object: b.o
        .globl f
f:      .byte 0x66
        leaq x@tlsgd(%rip), %rdi
        .value 0x6666
        rex64
        call __tls_get_addr@PLT
        ret
        .type x, @tls_object
