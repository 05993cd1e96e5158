this is no IR
;# ExpectError: garbage.ll:1:1: expected top-level entity
;# ExpectError: this is no IR
;# ExpectError: ^
