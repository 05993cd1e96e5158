// The GOT, in every code model, not relaxed: an entry a symbol, relative for own symbols, bound for imports. One load
// away from its page, and nothing of the section computes an address instead.
//# ExpectValue: operand(f) + operand(f+4) = got(import)
//# ExpectValue: operand(f+8) + operand(f+12) = got(own)
//# ExpectValue: operand(f+16) = got(import)
//# ExpectValue: page(start(.got)) + operand(f+20) = got(own)
//# ExpectValue: start(.got) + operand(f+24) = got(own)
//# ExpectValue: operand(f+28) = page(start(.got))
//# ExpectValue: operand(f+32) + operand(f+36) = got(number)
//# ExpectValue: operand(f+40) + operand(f+48) = got(own)
//# ExpectDynamic: RELATIVE at got(own) = own
//# ExpectDynamic: GLOB_DAT import at got(import)
//# ExpectWord64: got(number) = 77
//# ExpectDynamicCount: 2
//# ExpectValue: end(.got) - start(.got) = 24
//# ExpectNoSection: .plt
        .globl f, own
f:      adrp x0, :got:import
        ldr x0, [x0, :got_lo12:import]
        adrp x1, :got:own
        ldr x1, [x1, :got_lo12:own]
        .reloc ., R_AARCH64_GOT_LD_PREL19, import
        ldr x0, #0
        ldr x0, [x0, :gotpage_lo15:own]
        .reloc ., R_AARCH64_LD64_GOTOFF_LO15, own
        ldr x0, [x0]
        adrp x0, _GLOBAL_OFFSET_TABLE_
        adrp x1, :got:number
        ldr x1, [x1, :got_lo12:number]
        adrp x4, :got:own
        nop
        ldr x4, [x4, :got_lo12:own]
        .data
own:    .quad 0
//# Object: b.o
        .globl number
number = 77
