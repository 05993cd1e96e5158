// 128-bit integers, quadruple precision, long double conversions: all that calls libgcc.
#include <stdint.h>
#include <stdio.h>

typedef unsigned __int128 u128;
typedef __int128 i128;
static void show(u128 v) {
  char digits[48], *p = digits + 47;
  *p = 0;
  do *--p = (char)('0' + (int)(v % 10)); while (v /= 10);
  puts(p);
}
static volatile uint64_t high = 0x123456789abcdef0, low = 0xfedcba9876543210;
static volatile int64_t minus = -77;
static volatile double real = 1e30;
static volatile int shift = 67;
int main(void) {
  u128 v = (u128)high << 64 | low;
  i128 s = -(i128)(v >> 3);
  show(v);
  show(v * 3 + 1);
  show(v / low);
  show(v % high);
  show((u128)-(s / minus));
  show((u128)-(s % minus));
  show(v >> shift);
  show(v << (shift - 60));
  show((u128)(s >> shift));
  printf("%.17g %.9g %.18Lg\n", (double)v, (float)s, (long double)v);
  show((u128)real);
  show((u128)(i128)(long double)real);
  __float128 q = (__float128)real;
  q = q * q + (__float128)low;
  q = q / 3 - 1;
  printf("%.17g %d %lld\n", (double)q, q > real, (long long)(q / (__float128)1e50));
  printf("%.10Lg %d\n", (long double)(q + (__float128)minus), (int)((__float128)minus / 2));
  i128 product;
  printf("%d %d\n", __builtin_mul_overflow(s, (i128)1 << 20, &product), __builtin_mul_overflow((i128)minus, minus, &product));
  show((u128)product);
  _BitInt(200) wide = (_BitInt(200))high * high * high;
  printf("%llx\n", (unsigned long long)(wide >> 64));
  return 0;
}
