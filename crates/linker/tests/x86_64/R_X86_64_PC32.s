// S + A - P to places of the same image: other sections, a symbol of another object, a common one.
//# ExpectWord32: f+3 = variable - (f+3) - 4
//# ExpectWord32: f+10 = other - (f+10) - 4 + 8
//# ExpectWord32: f+17 = shared - (f+17) - 4
//# ExpectWord32: f+24 = hidden_alias - (f+24) - 4
//# ExpectDynamicCount: 0
//# ExpectNoSection: .got
        .text
        .globl f, hidden_alias
        .type f, @function
f:      lea variable(%rip), %rax
        lea other+8(%rip), %rax
        lea shared(%rip), %rax
        lea hidden(%rip), %rax
        .size f, . - f
        .hidden hidden
        .data
hidden_alias:
        .globl hidden
hidden: .quad 1

        .comm shared, 16, 8
        .comm exported_common, 24, 32

//# Object: b.o
        .data
        .quad 0
        .globl variable, other
variable:
        .quad 2
other:  .quad 3
