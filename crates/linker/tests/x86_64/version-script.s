// A version script hides what it does not name; what it hides binds within the image.
//# VersionScript: LIB_1 { global: f; api_*; local: *; };
//# ExpectSymbol: f
//# ExpectSymbol: api_one
//# ExpectNoSymbol: helper
//# ExpectImport: import
//# ExpectDynamicCount: 1
        .globl f, api_one, helper
f:      call helper@PLT
api_one: call import@PLT
helper: ret
