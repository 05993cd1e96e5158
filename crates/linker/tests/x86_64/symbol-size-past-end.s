// A size that leaves the section is cut.
//# ExpectSymbol: f size=1
        .globl f
f:      ret
        .size f, 100
