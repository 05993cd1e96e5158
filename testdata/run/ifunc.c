// A function chosen by its resolver at load, called and stored in a table.
#include <stdio.h>

static int plain(int x) { return x + 1; }
static int fast(int x) { return 1 + x; }
static int (*resolve(void))(int) {
#ifdef __x86_64__
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse2") ? fast : plain;
#else
  return fast;
#endif
}
int chosen(int) __attribute__((ifunc("resolve")));
static int (*const table[])(int) = {chosen, plain};
#ifdef __x86_64__
__attribute__((target_clones("avx2", "default")))
#endif
int cloned(int x) { return x * 3; }

int main(void) {
  printf("%d %d %d\n", chosen(1), table[0](2) + table[1](2), cloned(5));
  return 0;
}
