define void @f() {
  call void asm sideeffect "frobnicate %rax", ""()
  call void asm sideeffect "movl $$1, %nowhere", ""()
  ret void
}
;# ExpectError: two_inline_asm.ll: cannot generate code: <inline asm>:1:2: invalid instruction mnemonic 'frobnicate'
;# ExpectError: <inline asm>:1:11: invalid register name
