define void @call() {
  %f = inttoptr i64 140737353744384 to ptr
  call void %f()
  ret void
}
;# ExpectError: absolute_cast.ll: `call`: %f = inttoptr i64 140737353744384 to ptr
