declare void @stop() "dontcall-error"="not here"
define void @f() {
  call void @stop()
  ret void
}
;# ExpectError: error_attribute.ll: cannot generate code: call to stop marked "dontcall-error": not here
