// A number that is called is as far away as it likes, so the call goes through the PLT, as one of an import does.
//# ExpectWord32: f+1 = plt(host) - (f+1) - 4
//# ExpectWord64: f+7 = plt(host) - got(host)
//# ExpectWord64: got(host) = 0x7f0012345678
//# ExpectDynamicCount: 0
        .globl f, host
f:      call host@PLT
        movabsq $host@PLTOFF, %rax
        ret
//# Object: b.o
        .globl host
host = 0x7f0012345678
