// A name that is asked for is exported, even when its object hides it.
//# VersionScript: { global: f; local: *; };
//# Export: main
//# ExpectSymbol: f
//# ExpectSymbol: main
//# ExpectNoSymbol: g
        .globl f, g, main
        .hidden main
f:      ret
g:      ret
main:   ret
