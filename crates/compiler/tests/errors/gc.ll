define void @f() gc "nonsense" { ret void }
;# ExpectError: gc.ll: LLVM gave up: unsupported GC: nonsense
