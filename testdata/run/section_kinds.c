// Sections that clang writes on request: a section a basic block, patchable entries (ordered by link), stack sizes, retained data.
// Files: parts/section_kinds_other.c
// Flags: -fbasic-block-sections=all -fpatchable-function-entry=2 -fstack-size-section -fexceptions -ffunction-sections -g1
#include <stdio.h>
#include <stdlib.h>

int classify(int v);
__attribute__((used, retain)) static const char kept[] = "kept without a reference";
static int by_digit(const void *a, const void *b) { return *(const int *)a % 10 - *(const int *)b % 10; }
__attribute__((cold, noinline)) static int rare(int v) { return v * 1000; }
__attribute__((hot, noinline)) static int often(int v) {
  if (__builtin_expect(v > 90, 0)) return rare(v);
  for (int i = 0; i < v; i++)
    if (i * i > v) return i;
  return v;
}

int main(void) {
  int values[] = {19, 25, 31, 47, 93, 52};
  qsort(values, 6, sizeof *values, by_digit);
  for (int i = 0; i < 6; i++) printf("%d %d %d\n", values[i], often(values[i]), classify(values[i]));
  return 0;
}
