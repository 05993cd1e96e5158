target triple = "x86_64-pc-windows-msvc"
define void @f() { ret void }
;# ExpectError: other_system.ll: target triple: made for `x86_64-pc-windows-msvc`, this compiler makes code for `x86_64-unknown-linux-gnu`
