// Strong over common over weak, in either order; of equals the first; commons count as the largest.
//# ExpectWord8: weak_strong = 2
//# ExpectWord8: strong_weak = 1
//# ExpectWord8: weak_weak = 1
//# ExpectWord8: common_strong = 2
//# ExpectWord8: strong_common = 1
//# ExpectSymbol: weak_strong binding=GLOBAL
//# ExpectSymbol: strong_weak binding=GLOBAL
//# ExpectSymbol: weak_weak binding=WEAK
//# ExpectSymbol: common_strong section=.data size=1
//# ExpectSymbol: strong_common section=.data size=1
//# ExpectSymbol: weak_common section=.bss size=8
//# ExpectSymbol: common_weak section=.bss size=8
//# ExpectSymbol: common_common section=.bss size=48 type=OBJECT
//# ExpectValue: common_common - (common_common + word64(mask)) = 0
//# ExpectDynamic: RELATIVE at place = common_common
//# ExpectValue: align(.bss) = 64
        .macro define name
        .globl \name
        .type \name, @object
        .size \name, 1
\name:  .byte 1
        .endm
        .data
        .weak weak_strong, weak_weak, weak_common
        .type weak_strong, @object
weak_strong: .byte 1
weak_weak: .byte 1
weak_common: .byte 1
        define strong_weak
        define strong_common
        .comm common_strong, 8, 8
        .comm common_weak, 8, 8
        .comm common_common, 16, 64
        .globl mask, place
        .balign 8
mask:   .quad 0
place:  .quad common_common
//# Object: b.o
        .data
        .byte 9
        .macro define name
        .globl \name
        .type \name, @object
        .size \name, 1
\name:  .byte 2
        .endm
        define weak_strong
        define common_strong
        .weak strong_weak, weak_weak, common_weak
strong_weak: .byte 2
weak_weak: .byte 2
common_weak: .byte 2
        .comm strong_common, 8, 8
        .comm weak_common, 8, 8
        .comm common_common, 48, 8
