define i64 @read() {
  %x = load i64, ptr inttoptr (i64 93824992231424 to ptr)
  ret i64 %x
}
;# ExpectError: absolute_operand.ll: `read`: %x = load i64, ptr inttoptr (i64 93824992231424 to ptr)
;# ExpectError: an address in one process only
;# ExpectError: --allow-absolute-addresses
