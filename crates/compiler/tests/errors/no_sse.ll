define double @f(double %x) "target-features"="-sse,-sse2" {
  %y = fadd double %x, 1.0
  ret double %y
}
;# ExpectError: no_sse.ll: cannot generate code: 
;# ExpectError: in function f double (double): SSE register return with SSE disabled
