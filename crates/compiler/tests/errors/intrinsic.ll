declare i32 @llvm.aarch64.crc32b(i32, i32)
define i32 @f() {
  %x = call i32 @llvm.aarch64.crc32b(i32 1, i32 2)
  ret i32 %x
}
;# ExpectError: intrinsic.ll: LLVM gave up: Cannot select: intrinsic %llvm.aarch64.crc32b
