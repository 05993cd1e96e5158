declare i32 @g(i32, i32, i32, i32, i32, i32, i32, i32)
define i32 @f() {
  %x = musttail call i32 @g(i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8)
  ret i32 %x
}
;# ExpectError: musttail.ll: invalid IR: cannot guarantee tail call due to mismatched parameter counts
