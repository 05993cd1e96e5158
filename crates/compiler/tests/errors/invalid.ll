define i32 @f(i1 %c) {
entry:
  br i1 %c, label %a, label %b
a:
  %x = add i32 1, 2
  br label %b
b:
  ret i32 %x
}
;# ExpectError: invalid.ll: invalid IR: Instruction does not dominate all uses!
;# ExpectError:   %x = add i32 1, 2
