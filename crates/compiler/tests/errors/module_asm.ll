module asm ".nonsense 1"
define void @f() { ret void }
;# ExpectError: module_asm.ll: cannot generate code: <inline asm>:1:1: unknown directive
