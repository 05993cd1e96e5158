// Structs by value of each class, bit-fields, unions, flexible members, compound literals, _Generic, cleanup.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct small { char c; short s; };
struct mixed { double d; int i; };
struct floats { float a, b, c; };
struct huge { int v[20]; };
struct long_double { long double v; };
struct bits { unsigned a : 3; int b : 5; unsigned : 0; uint64_t c : 40; _Bool d : 1; };
union both { float f; uint32_t u; unsigned char bytes[4]; };
struct flexible { size_t n; int items[]; };
struct __attribute__((packed)) packed { char c; int i; double d; };

#define PASS(type) __attribute__((noinline)) static struct type pass_##type(struct type v, int k)
PASS(small) { v.c = (char)(v.c + k); v.s = (short)(v.s * k); return v; }
PASS(mixed) { v.d *= k; v.i += k; return v; }
PASS(floats) { v.a += (float)k; v.c -= v.b; return v; }
PASS(huge) { for (int i = 0; i < 20; i++) v.v[i] += i * k; return v; }
PASS(long_double) { v.v /= k; return v; }
static void release(char **p) { printf("release %s\n", *p); free(*p); }
#define KIND(x) _Generic((x), int: "int", double: "double", char *: "text", default: "other")
inline static int clamp(int v) { return v < 0 ? 0 : v > 9 ? 9 : v; }

int main(void) {
  struct small s = pass_small((struct small){'a', 5}, 3);
  struct mixed m = pass_mixed((struct mixed){.i = 1, .d = 2.5}, 4);
  struct floats f = pass_floats((struct floats){1, 2, 3}, 5);
  struct huge h = pass_huge((struct huge){{1, 2, 3, [19] = 4}}, 6);
  printf("%c %d %g %d %g %g %d %d\n", s.c, s.s, m.d, m.i, (double)f.a, (double)f.c, h.v[2], h.v[19]);
  printf("%.5Lg\n", pass_long_double((struct long_double){10.0L}, 3).v);
  struct bits bits = {.a = 9 & 7, .b = -5, .c = 1ull << 39, .d = 1};
  bits.a += 3;
  bits.c |= 5;
  printf("%u %d %llx %d %zu\n", bits.a, bits.b, (unsigned long long)bits.c, bits.d, sizeof bits);
  union both u = {.f = 1.5f};
  printf("%08x %02x\n", u.u, u.bytes[3]);
  struct flexible *x = malloc(sizeof *x + 5 * sizeof(int));
  x->n = 5;
  for (size_t i = 0; i < x->n; i++) x->items[i] = clamp((int)i * 4 - 3);
  printf("%d %d %d\n", x->items[0], x->items[2], x->items[4]);
  free(x);
  struct packed p = {'p', 7, 1.25};
  printf("%zu %zu %d %g\n", sizeof p, offsetof(struct packed, d), p.i, p.d);
  printf("%s %s %s %s\n", KIND(1), KIND(1.0), KIND((char *)0), KIND('a' + 1L));
  for (int i = 0; i < 2; i++) {
    __attribute__((cleanup(release))) char *text = strdup(i ? "second" : "first");
    if (i) break;
  }
  return 0;
}
