// Local-exec code has the offset from the thread pointer in it, 12 bits of it in each instruction: each becomes
// a branch to code that has the offset from the GOT, adds the same bits of it, and comes back. The upper instruction
// adds all that is above, because no one checks at load that it is less than 16 MiB.
//# ExpectDynamicCount: 1
//# ExpectDynamic: TLS_POINTER_OFFSET . at tls_offset(x)
//# ExpectWord32: operand(code) = 0xf81f0ff0
//# ExpectValue: operand(operand(code) + 4) + operand(operand(code) + 8) = tls_offset(x)
//# ExpectWord32: operand(code) + 12 = 0x91000210
//# ExpectWord32: operand(code) + 16 = 0x9274ce10
//# ExpectWord32: operand(code) + 20 = 0x8b100020
//# ExpectWord32: operand(code) + 24 = 0xf84107f0
//# ExpectValue: operand(operand(code) + 28) = code + 4
//# ExpectWord32: operand(code + 4) = 0xf81f0fef
//# ExpectValue: operand(operand(code + 4) + 4) + operand(operand(code + 4) + 8) = tls_offset(x)
//# ExpectWord32: operand(code + 4) + 12 = 0x910021ef
//# ExpectWord32: operand(code + 4) + 16 = 0x92402def
//# ExpectWord32: operand(code + 4) + 20 = 0x8b0f0230
//# ExpectWord32: operand(code + 4) + 24 = 0xf84107ef
//# ExpectValue: operand(operand(code + 4) + 28) = code + 8
//# ExpectWord32: operand(code + 8) = 0xf81f0ff0
//# ExpectValue: operand(operand(code + 8) + 4) + operand(operand(code + 8) + 8) = tls_offset(x)
//# ExpectWord32: operand(code + 8) + 12 = 0x91000210
//# ExpectWord32: operand(code + 8) + 16 = 0xd503201f
//# ExpectWord32: operand(code + 8) + 20 = 0x8b100000
//# ExpectWord32: operand(code + 8) + 24 = 0xf84107f0
//# ExpectValue: operand(operand(code + 8) + 28) = code + 12
//# ExpectWord32: operand(code + 12) = 0xf81f0ff0
//# ExpectValue: operand(operand(code + 12) + 4) + operand(operand(code + 12) + 8) = tls_offset(x)
//# ExpectWord32: operand(code + 12) + 12 = 0x91000210
//# ExpectWord32: operand(code + 12) + 16 = 0x92402e10
//# ExpectWord32: operand(code + 12) + 20 = 0x38706820
//# ExpectWord32: operand(code + 12) + 24 = 0xf84107f0
//# ExpectValue: operand(operand(code + 12) + 28) = code + 16
//# ExpectWord32: operand(code + 16) = 0xf81f0ff0
//# ExpectValue: operand(operand(code + 16) + 4) + operand(operand(code + 16) + 8) = tls_offset(x)
//# ExpectWord32: operand(code + 16) + 12 = 0x91000210
//# ExpectWord32: operand(code + 16) + 16 = 0xd503201f
//# ExpectWord32: operand(code + 16) + 20 = 0x78b06820
//# ExpectWord32: operand(code + 16) + 24 = 0xf84107f0
//# ExpectValue: operand(operand(code + 16) + 28) = code + 20
//# ExpectWord32: operand(code + 20) = 0xf81f0ff0
//# ExpectValue: operand(operand(code + 20) + 4) + operand(operand(code + 20) + 8) = tls_offset(x)
//# ExpectWord32: operand(code + 20) + 12 = 0x91000210
//# ExpectWord32: operand(code + 20) + 16 = 0x92402e10
//# ExpectWord32: operand(code + 20) + 20 = 0xb8306820
//# ExpectWord32: operand(code + 20) + 24 = 0xf84107f0
//# ExpectValue: operand(operand(code + 20) + 28) = code + 24
//# ExpectWord32: operand(code + 24) = 0xf81f0ff0
//# ExpectValue: operand(operand(code + 24) + 4) + operand(operand(code + 24) + 8) = tls_offset(x)
//# ExpectWord32: operand(code + 24) + 12 = 0x91000210
//# ExpectWord32: operand(code + 24) + 16 = 0x92402e10
//# ExpectWord32: operand(code + 24) + 20 = 0xf8706820
//# ExpectWord32: operand(code + 24) + 24 = 0xf84107f0
//# ExpectValue: operand(operand(code + 24) + 28) = code + 28
//# ExpectWord32: operand(code + 28) = 0xf81f0ff0
//# ExpectValue: operand(operand(code + 28) + 4) + operand(operand(code + 28) + 8) = tls_offset(x)
//# ExpectWord32: operand(code + 28) + 12 = 0x91000210
//# ExpectWord32: operand(code + 28) + 16 = 0x92402e10
//# ExpectWord32: operand(code + 28) + 20 = 0x3cb06820
//# ExpectWord32: operand(code + 28) + 24 = 0xf84107f0
//# ExpectValue: operand(operand(code + 28) + 28) = code + 32
//# ExpectWord32: operand(code + 32) = 0xf81f0ff0
//# ExpectValue: operand(operand(code + 32) + 4) + operand(operand(code + 32) + 8) = tls_offset(x)
//# ExpectWord32: operand(code + 32) + 12 = 0x91000210
//# ExpectWord32: operand(code + 32) + 16 = 0x92402e10
//# ExpectWord32: operand(code + 32) + 20 = 0xfc706823
//# ExpectWord32: operand(code + 32) + 24 = 0xf84107f0
//# ExpectValue: operand(operand(code + 32) + 28) = code + 36
        .globl code
code:
        add x0, x1, :tprel_hi12:x
        add x16, x17, :tprel_lo12_nc:x+8
        add x0, x0, :tprel_lo12:x
        ldrb w0, [x1, :tprel_lo12_nc:x]
        ldrsh x0, [x1, :tprel_lo12:x]
        str w0, [x1, :tprel_lo12_nc:x]
        ldr x0, [x1, :tprel_lo12_nc:x]
        str q0, [x1, :tprel_lo12_nc:x]
        ldr d3, [x1, :tprel_lo12_nc:x]
        ret
        .section .tdata,"awT",@progbits
        .globl x
x:      .zero 16
