// LLVM bitcode has to be compiled first.
//# Raw: a.bc = 42 43 c0 de 35 14
//# ExpectError: a.bc: LLVM bitcode, not machine code: compile it first
