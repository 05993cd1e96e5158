define i32 @f() {
  %x = add i32 1, 2
  ret i23 %x
}
;# ExpectError: syntax.ll:3:11: '%x' defined with type 'i32' but expected 'i23'
;# ExpectError:   ret i23 %x
;# ExpectError:           ^
