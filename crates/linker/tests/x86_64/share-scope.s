// What images of one scope share: a weak definition is an import and an export, hidden names are exports that are marked or imports.
//# ShareScope: yes
//# ExpectSymbol: weak binding=WEAK visibility=DEFAULT
//# ExpectSymbol: unique binding=WEAK
//# ExpectSymbol: near binding=WEAK
//# ExpectSymbol: with_near binding=WEAK
//# ExpectSymbol: hidden binding=GLOBAL visibility=HIDDEN
//# ExpectSymbol: marked binding=WEAK visibility=HIDDEN
//# ExpectSymbol: protected binding=WEAK visibility=PROTECTED
//# ExpectSymbol: strong binding=GLOBAL
//# ExpectImport: elsewhere
//# ExpectNoSymbol: internal
//# ExpectDynamic: ABSOLUTE weak at table
//# ExpectDynamic: ABSOLUTE unique+4 at table+8
//# ExpectDynamic: RELATIVE at table+16 = near
//# ExpectDynamic: RELATIVE at table+24 = hidden
//# ExpectDynamic: ABSOLUTE marked at table+32
//# ExpectDynamic: RELATIVE at table+40 = protected
//# ExpectDynamic: RELATIVE at table+48 = strong
//# ExpectDynamic: RELATIVE at table+56 = with_near
//# ExpectDynamic: ABSOLUTE elsewhere at table+64
//# ExpectWord32: f+1 = plt(weak) - (f+1) - 4
//# ExpectWord32: f+8 = got(unique) - (f+8) - 4
//# ExpectWord32: f+15 = near - (f+15) - 4
//# ExpectWord32: f+20 = strong - (f+20) - 4
        .text
        .globl f, strong, internal, hidden
        .weak weak, marked, protected
        .hidden hidden, elsewhere
        .protected protected
        .internal internal
f:      call weak@PLT
        movq unique@GOTPCREL(%rip), %rax
        leaq near(%rip), %rax
        call strong@PLT
        ret
strong:
internal:
hidden: ret
weak:   ret
marked: ret
protected: ret
        .section .data.unique,"awG",@progbits,unique,comdat
        .type unique, @gnu_unique_object
        .size unique, 8
unique: .quad 1
        // Of this group code needs one.
        .section .data.near,"awG",@progbits,near,comdat
        .weak near, with_near
near:   .quad 2
with_near: .quad 3
        .section .farcall.hidden,"e",@progbits
        .asciz "marked"
        .data
        .globl table
table:  .quad weak, unique + 4, near, hidden, marked, protected, strong, with_near, elsewhere
