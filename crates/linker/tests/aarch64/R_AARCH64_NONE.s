// Nothing is written, and a name that is only mentioned is an import.
//# ExpectBytes: f = 1f 20 03 d5 c0 03 5f d6
//# ExpectImport: import
//# ExpectDynamicCount: 0
        .globl f
f:      nop
        .reloc f, R_AARCH64_NONE, import
        ret
