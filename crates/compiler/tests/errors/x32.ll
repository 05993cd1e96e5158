target triple = "x86_64-unknown-linux-gnux32"
define void @f() { ret void }
;# ExpectError: x32.ll: target triple: made for `x86_64-unknown-linux-gnux32`, this compiler makes code for `x86_64-unknown-linux-gnu`
