define void @f() { ret void }
!llvm.module.flags = !{!0}
!0 = !{i32 1, !"Code Model", i32 2}
;# ExpectError: code_model.ll: code model 2: expected small (1), medium (3) or large (4)
