// A page and a load of the GOT side by side compute the address of what is in the image: `adrp x, s; add x, x, :lo12:s`.
// Imports, numbers, parts of an entry and pages that another register takes stay as they are, and so does a section
// with a load away from its page.
//# ExpectValue: operand(f) + operand(f+4) = own
//# ExpectWord32: f+4 = 0x91000021 + 0x400*(own - page(own))
//# ExpectValue: operand(f+8) + operand(f+12) = f
//# ExpectValue: operand(f+16) + operand(f+20) = shared
//# ExpectValue: operand(f+24) + operand(f+28) = end(.bss)
//# ExpectValue: operand(f+32) + operand(f+36) = got(import)
//# ExpectValue: operand(f+40) + operand(f+44) = got(number)
//# ExpectValue: operand(f+48) + operand(f+52) = got(kept)
//# ExpectValue: operand(f+56) + operand(f+60) = got(kept)+8
//# ExpectValue: operand(f+64) + operand(f+68) = start(.data)
//# ExpectValue: operand(apart) + operand(apart+12) = got(kept)
//# ExpectValue: operand(apart+4) + operand(apart+8) = got(far)
//# ExpectDynamic: RELATIVE at got(kept) = kept
//# ExpectValue: end(.got) - start(.got) = 32
//# ExpectDynamicCount: 3
        .globl f, own, kept, far, apart
        .comm shared, 8, 8
f:      adrp x1, :got:own
        ldr x1, [x1, :got_lo12:own]
        adrp x30, :got:f
        ldr x30, [x30, :got_lo12:f]
        adrp x2, :got:shared
        ldr x2, [x2, :got_lo12:shared]
        adrp x2, :got:_end
        ldr x2, [x2, :got_lo12:_end]
        adrp x3, :got:import
        ldr x3, [x3, :got_lo12:import]
        adrp x4, :got:number
        ldr x4, [x4, :got_lo12:number]
        adrp x5, :got:kept
        ldr x6, [x5, :got_lo12:kept]
        adrp x7, :got:kept+8
        ldr x7, [x7, :got_lo12:kept+8]
        adrp x8, :got:local
        ldr x8, [x8, :got_lo12:local]
        ret
        .section .text.apart,"ax"
apart:  adrp x0, :got:kept
        adrp x1, :got:far
        ldr x1, [x1, :got_lo12:far]
        ldr x0, [x0, :got_lo12:kept]
        .data
local:  .quad 0
own:    .quad 0
kept:   .quad 0
far:    .quad 0
//# Object: b.o
        .globl number
number = 77
