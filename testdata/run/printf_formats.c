// Every kind of printf conversion, and what it returns.
#define _GNU_SOURCE
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

int main(void) {
  printf("[%d] [%5d] [%-5d] [%05d] [%+d] [% d] [%.3d] [%'d]\n", 42, 42, 42, 42, 42, 42, 7, 1234567);
  printf("[%u] [%o] [%x] [%X] [%#x] [%#o] [%hhd] [%hd]\n", UINT_MAX, 8, 255, 255, 255, 8, (signed char)-1, (short)-2);
  printf("[%ld] [%lld] [%zu] [%td] [%jd] [%" PRIx64 "]\n", LONG_MIN, LLONG_MAX, (size_t)-1, (ptrdiff_t)-5, INTMAX_MIN, UINT64_MAX);
  const double values[] = {0.0, -0.0, 1.0, -1.5, 3.14159265358979, 1e100, 1e-100, DBL_MAX, DBL_MIN, 123456789.0, INFINITY, -INFINITY, NAN};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++)
    printf("[%f] [%.2e] [%g] [%G] [%a] [%10.3f] [%-12.4g] [%+.0f] [%#.0f]\n", values[i], values[i], values[i], values[i],
           values[i], values[i], values[i], values[i], values[i]);
  const long double longs[] = {0.1L, 1.0L / 3, LDBL_MAX, LDBL_MIN, -2.5L, 1e4000L};
  for (size_t i = 0; i < sizeof longs / sizeof *longs; i++) printf("[%.20Lg] [%La] [%.5Le]\n", longs[i], longs[i], longs[i]);
  printf("[%c] [%5c] [%s] [%10s] [%-10s] [%.2s] [%*s] [%-*.*s] [%%]\n", 'x', 'y', "text", "right", "left", "cut", 6, "star", 8, 3, "starred");
  printf("[%2$s %1$s]\n", "world", "hello");
  printf("[%ls] [%lc] [%p] [%m]\n", L"wide", (wint_t)L'w', (void *)0x1234);
  int n = -1;
  int total = printf("counted%n\n", &n);
  printf("%d %d\n", n, total);
  char small[8];
  printf("%d <%s>\n", snprintf(small, sizeof small, "%d-%s", 12345, "overflow"), small);
  char *made;
  printf("%d ", asprintf(&made, "%s %03d", "made", 7));
  puts(made);
  free(made);
  dprintf(2, "%s to standard error %.1f\n", "dprintf", 2.5);
  return 0;
}
