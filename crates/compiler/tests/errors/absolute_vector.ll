define <2 x ptr> @pair() {
  %x = inttoptr <2 x i64> <i64 0, i64 93824992231424> to <2 x ptr>
  ret <2 x ptr> %x
}
;# ExpectError: absolute_vector.ll: `pair`: %x = inttoptr <2 x i64> <i64 0, i64 93824992231424> to <2 x ptr>
;# ExpectError: an address in one process only
