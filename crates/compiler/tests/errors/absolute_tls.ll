define i64 @read() {
  %x = load i64, ptr addrspace(256) inttoptr (i64 -16 to ptr addrspace(256))
  ret i64 %x
}
;# ExpectError: absolute_tls.ll: `read`: %x = load i64, ptr addrspace(256) inttoptr (i64 -16 to ptr addrspace(256))
