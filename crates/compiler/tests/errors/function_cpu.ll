define void @f() "target-cpu"="i686" { ret void }
;# ExpectError: function_cpu.ll: function `f`: target-cpu `i686` is unknown on x86-64
