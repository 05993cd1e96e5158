// SSE2 intrinsics, vector extensions, loops to vectorise, AVX2 in a function that asks for it.
#include <emmintrin.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>

typedef float f4 __attribute__((vector_size(16)));
typedef int i8 __attribute__((vector_size(32)));
static float a[1003], b[1003];
static uint8_t bytes[4096];

__attribute__((noinline)) static float axpy(float k, int n) {
  float sum = 0;
  for (int i = 0; i < n; i++) b[i] += k * a[i];
  for (int i = 0; i < n; i++) sum += b[i];
  return sum;
}
__attribute__((noinline)) static unsigned count(uint8_t wanted) {
  __m128i key = _mm_set1_epi8((char)wanted);
  unsigned n = 0;
  for (int i = 0; i < 4096; i += 16)
    n += (unsigned)__builtin_popcount((unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(key, _mm_loadu_si128((const __m128i *)(bytes + i)))));
  return n;
}
__attribute__((target("avx2"), noinline)) static int sum_avx2(const int *v) {
  __m256i s = _mm256_setzero_si256();
  for (int i = 0; i < 64; i += 8) s = _mm256_add_epi32(s, _mm256_loadu_si256((const __m256i *)(v + i)));
  int out[8], total = 0;
  _mm256_storeu_si256((__m256i *)out, s);
  for (int i = 0; i < 8; i++) total += out[i];
  return total;
}
static int sum_plain(const int *v) {
  int total = 0;
  for (int i = 0; i < 64; i++) total += v[i];
  return total;
}

int main(void) {
  for (int i = 0; i < 1003; i++) a[i] = (float)(i % 17), b[i] = (float)(i % 5);
  for (int i = 0; i < 4096; i++) bytes[i] = (uint8_t)(i * 31 % 251);
  printf("%.1f %u\n", (double)axpy(2.0f, 1003), count(77));
  f4 v = {1, 2, 3, 4}, w = v * v + (f4){0.5f, 0.5f, 0.5f, 0.5f};
  w = __builtin_shufflevector(w, v, 3, 2, 5, 0);
  printf("%g %g %g %g\n", (double)w[0], (double)w[1], (double)w[2], (double)w[3]);
  i8 x = {1, 2, 3, 4, 5, 6, 7, 8}, mask = x > 4;
  x = (x << 2) & mask;
  int sum = 0, values[64];
  for (int i = 0; i < 8; i++) sum = sum * 3 + x[i];
  for (int i = 0; i < 64; i++) values[i] = i * i;
  __m128d d = _mm_sqrt_pd(_mm_set_pd(16, 9));
  printf("%d %g %g\n", sum, _mm_cvtsd_f64(d), _mm_cvtsd_f64(_mm_unpackhi_pd(d, d)));
  int (*volatile best)(const int *) = __builtin_cpu_supports("avx2") ? sum_avx2 : sum_plain;
  printf("%d\n", best(values));
  return 0;
}
