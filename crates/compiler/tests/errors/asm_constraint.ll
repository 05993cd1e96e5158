define i32 @f() {
  %x = call i32 asm "mov $0, 1", "={nonsense}"()
  ret i32 %x
}
;# ExpectError: asm_constraint.ll: cannot generate code: couldn't allocate output register for constraint '{nonsense}'
