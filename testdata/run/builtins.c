// Compiler builtins: bits, overflow, choices of the processor, frames, object sizes.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static volatile uint64_t v = 0x00f0f00000001234;
static volatile int32_t big = 2000000000;
static volatile float half = 0.5f;
int main(void) {
  printf("%d %d %d %d %d\n", __builtin_popcountll(v), __builtin_clzll(v), __builtin_ctzll(v), __builtin_ffsll((long long)v), __builtin_parityll(v));
  printf("%llx %x %x\n", (unsigned long long)__builtin_bswap64(v), __builtin_bswap32((uint32_t)v), __builtin_bswap16((uint16_t)v));
  printf("%llx %x\n", (unsigned long long)__builtin_bitreverse64(v), __builtin_rotateleft32((uint32_t)v, 7));
  int32_t sum;
  uint64_t product;
  printf("%d %d %d\n", __builtin_add_overflow(big, big, &sum), sum, __builtin_mul_overflow(v, v, &product));
  printf("%d\n", __builtin_expect(big > 0, 1) && !__builtin_constant_p(big));
  char object[24];
  printf("%zu %d\n", __builtin_object_size(object, 0), __builtin_types_compatible_p(int, int32_t));
  __builtin_memset(object, 'q', 5 + (v & 3));
  object[5] = 0;
  puts(object);
  printf("%g %g %d\n", (double)__builtin_sqrtf(half), __builtin_inf(), __builtin_isnan(__builtin_nan("")));
  printf("%d\n", __builtin_frame_address(0) != NULL && __builtin_return_address(0) != NULL);
  __builtin_cpu_init();
  printf("%d\n", __builtin_cpu_supports("sse2") != 0);
  printf("%d %d\n", __builtin_choose_expr(1, 10, "x"), __builtin_offsetof(struct { char a; double b; }, b) == 8);
  _Float16 h = (_Float16)half;
  h = h * (_Float16)3;
  printf("%g\n", (double)h);
  if (big == 1) __builtin_unreachable();
  return 0;
}
