target triple = "aarch64-unknown-linux-gnu"
define void @f() { ret void }
;# ExpectError: other_machine.ll: target triple: made for `aarch64-unknown-linux-gnu`, this compiler makes code for `x86_64-unknown-linux-gnu`
