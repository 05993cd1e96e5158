// Local-exec code has the offset from the thread pointer in it, which differs from process to process: it
// becomes a branch to code that has it from the GOT, and does not touch flags or the red zone.
//# ExpectBytes: load = e9
//# ExpectBytes: load + 5 = cc cc cc cc
//# ExpectBytes: load + 5 + word32(load + 1) = 48 8d a4 24 80 ff ff ff 41 53 4c 8b 1d
//# ExpectWord32: load + 18 + word32(load + 1) = tls_offset(x) - (load + 22 + word32(load + 1))
//# ExpectBytes: load + 22 + word32(load + 1) = 64 49 8b 83 08 00 00 00 41 5b 48 8d a4 24 80 00 00 00 e9
//# ExpectWord32: load + 41 + word32(load + 1) = load + 9 - (load + 45 + word32(load + 1))
//# ExpectBytes: call = 90 90 90 e8
//# ExpectBytes: move = e9
//# ExpectDynamicCount: 1
//# ExpectDynamic: TLS_POINTER_OFFSET . at tls_offset(x)
        .globl load, call, move
load:   movq %fs:x@TPOFF+8, %rax
call:   call *%fs:x@TPOFF
move:   movabs $x@TPOFF, %rax
        ret
        .section .tdata,"awT",@progbits
        .globl x
x:      .quad 1, 2
