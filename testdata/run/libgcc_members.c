// Calls that only the compiler's static runtime can answer, besides those of the shared one.
#include <stdint.h>
#include <stdio.h>

static volatile float f = 1.5f;
static volatile double d = -2.75;
static volatile long double l = 3.0e10L;
static volatile int power = 7;
static volatile unsigned __int128 wide = (unsigned __int128)1 << 100 | 12345;
int main(void) {
  printf("%g %g %Lg\n", (double)__builtin_powif(f, power), __builtin_powi(d, power), __builtin_powil(l, 3));
  printf("%llu %llu\n", (unsigned long long)(wide / 1000000007), (unsigned long long)(wide % 1000000007));
  unsigned __int128 from_float = (unsigned __int128)(f * 1e20f), from_double = (unsigned __int128)(d * d * 1e25);
  printf("%llu %llu\n", (unsigned long long)(from_float >> 40), (unsigned long long)(from_double >> 40));
  __float128 q = (__float128)f / (__float128)d;
  q = q < 0 ? -q * q : q;
  printf("%.10g %.10Lg %d\n", (double)q, (long double)q, (int)(q * 100));
  _Float16 half = (_Float16)f;
  printf("%g\n", (double)(half * (_Float16)d));
  _Complex float cf = f + 2.0f * __builtin_complex(0.0f, 1.0f);
  cf = cf / (cf + 1.0f);
  printf("%.5f %.5f\n", (double)__real__ cf, (double)__imag__ cf);
  return 0;
}
