define ptr @wide() {
  %x = inttoptr i128 18446837898701782016 to ptr
  ret ptr %x
}
;# ExpectError: absolute_wide.ll: `wide`: %x = inttoptr i128 18446837898701782016 to ptr
