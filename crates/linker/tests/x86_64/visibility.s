// The most constraining mention counts, whoever makes it; what is not visible outside is not exported.
//# ExpectSymbol: default visibility=DEFAULT
//# ExpectSymbol: protected visibility=PROTECTED
//# ExpectSymbol: protected_by_b visibility=PROTECTED
//# ExpectNoSymbol: hidden
//# ExpectNoSymbol: internal
//# ExpectNoSymbol: hidden_by_b
//# ExpectDynamic: RELATIVE at table = default + 4
//# ExpectDynamic: RELATIVE at table+8 = default + 1
//# ExpectDynamicCount: 2
        .data
        .globl default, protected, hidden, internal, hidden_by_b, protected_by_b
        .protected protected
        .hidden hidden
        .internal internal
default: .byte 1
hidden: .byte 2
internal: .byte 3
protected: .byte 4
hidden_by_b: .byte 5
protected_by_b: .byte 6
//# Object: b.o
        .data
        .balign 8
        .globl table
        .hidden hidden_by_b
        .protected protected_by_b
table:  .quad hidden_by_b
        .quad hidden
        .long protected_by_b - .
