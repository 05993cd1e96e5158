// Dense, sparse, string-valued and large switches, as jump tables, lookup tables and comparisons.
#include <stdio.h>

static volatile unsigned sink;
__attribute__((noinline)) static int dense(int n) {
  switch (n) {
#define CASE(i) case i: sink += i; return i * 7 ^ (int)sink;
#define TEN(i) CASE(i##0) CASE(i##1) CASE(i##2) CASE(i##3) CASE(i##4) CASE(i##5) CASE(i##6) CASE(i##7) CASE(i##8) CASE(i##9)
    TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9) TEN(10) TEN(11) TEN(12) TEN(13) TEN(14)
    default: return -1;
  }
}
__attribute__((noinline)) static const char *name(unsigned month) {
  switch (month) {
    case 1: return "January"; case 2: return "February"; case 3: return "March"; case 4: return "April";
    case 5: return "May"; case 6: return "June"; case 7: return "July"; case 8: return "August";
    case 9: return "September"; case 10: return "October"; case 11: return "November"; case 12: return "December";
  }
  return "none";
}
__attribute__((noinline)) static double value(int n) {
  switch (n) { case 0: return 1.5; case 1: return 2.25; case 2: return -7.125; case 3: return 1e10; case 4: return 0.5; }
  return 0;
}
__attribute__((noinline)) static long sparse(long n) {
  switch (n) {
    case -1000000000000: return 1; case 0: return 2; case 5 ... 9: return 3; case 1 << 20: return 4;
    case 0x7fffffffffffffff: return 5; default: return 6;
  }
}

int main(void) {
  unsigned sum = 0;
  for (int i = 0; i < 200; i++) sum = sum * 31 + (unsigned)dense(i);
  printf("%u\n", sum);
  for (unsigned i = 0; i < 14; i++) printf("%s ", name(i));
  for (int i = 0; i < 6; i++) printf("%g ", value(i));
  const long keys[] = {-1000000000000, 0, 4, 5, 9, 10, 1 << 20, 0x7fffffffffffffff};
  for (int i = 0; i < 8; i++) printf("%ld ", sparse(keys[i]));
  putchar('\n');
  return 0;
}
