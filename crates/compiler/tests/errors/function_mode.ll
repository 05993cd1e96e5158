define void @f() "target-features"="+avx,-64bit" { ret void }
;# ExpectError: function_mode.ll: function `f`: target-features `-64bit` is unknown on x86-64
