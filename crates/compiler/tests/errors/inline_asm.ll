define void @f() {
  call void asm sideeffect "frobnicate %rax", ""()
  ret void
}
;# ExpectError: inline_asm.ll: cannot generate code: <inline asm>:1:2: invalid instruction mnemonic 'frobnicate'
