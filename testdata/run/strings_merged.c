// Many equal and nested string literals and constants in mergeable sections, of two files.
// Files: parts/strings_merged_other.c
// Flags: -fmerge-all-constants
#include <stdio.h>
#include <string.h>
#include <wchar.h>

extern const char *const others[];
extern const double other_constants[];
static const char *const ours[] = {"shared text", "text", "a tail", "tail", "", "x\0y"};
static float pick(int i) { static const float values[] = {0.1f, 1e30f, 3.0f}; return values[i % 3]; }

int main(void) {
  for (int i = 0; i < 5; i++) printf("%s=%s %d ", ours[i], others[i], strcmp(ours[i], others[i]));
  printf("\n%d %d\n", memcmp(ours[5], others[5], 4), (int)wcslen(L"wide text"));
  volatile double x = 2;
  printf("%g %g %g\n", x * 3.14159 + 2.71828, other_constants[1], (double)pick((int)x - 1));
  return 0;
}
