// L + A - P: through the PLT for imports, strong and weak; direct within the image, whatever the visibility.
//# ExpectWord32: f+1 = plt(import) - (f+1) - 4
//# ExpectWord32: f+6 = plt(import) - (f+6) - 4
//# ExpectWord32: f+11 = plt(weak_import) - (f+11) - 4
//# ExpectWord32: f+16 = f - (f+16) - 4
//# ExpectWord32: f+21 = g - (f+21) - 4
//# ExpectWord32: f+26 = protected - (f+26) - 4
//# ExpectWord32: f+31 = g - (f+31) - 4
//# ExpectDynamic: GLOB_DAT import at got(import)
//# ExpectDynamic: GLOB_DAT weak_import at got(weak_import)
//# ExpectDynamicCount: 2
//# ExpectValue: end(.plt) - start(.plt) = 16
//# ExpectImport: import
//# ExpectImport: weak_import weak
//# ExpectSymbol: protected visibility=PROTECTED
//# ExpectNoSymbol: hidden
        .globl f, g, hidden, protected
        .hidden hidden
        .protected protected
        .weak weak_import
f:      call import@PLT
        jmp import@PLT
        call weak_import@PLT
        call f@PLT
        call g@PLT
        call protected@PLT
        call hidden@PLT
        ret
protected: ret
//# Object: b.o
        .globl g, hidden
hidden:
g:      ret
