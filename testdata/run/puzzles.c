// Digits of pi by big integers, a sudoku, eight queens, a regular-expression matcher.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void pi_digits(int digits) {
  int n = digits * 10 / 3 + 2, *a = malloc(sizeof(int) * (size_t)n), held = 0, nines = 0, started = 0;
  for (int i = 0; i < n; i++) a[i] = 2;
  for (int d = 0; d < digits; d++) {
    int carry = 0;
    for (int i = n - 1; i > 0; i--) {
      int v = a[i] * 10 + carry;
      a[i] = v % (2 * i + 1);
      carry = v / (2 * i + 1) * i;
    }
    int v = a[0] * 10 + carry, q = v / 10;
    a[0] = v % 10;
    if (q == 9) { nines++; continue; }
    if (started) putchar('0' + held + q / 10);
    for (; nines; nines--) putchar(q / 10 ? '0' : '9');
    held = q % 10, started = 1;
  }
  putchar('\n');
  free(a);
}
static int solve(char *grid, int at) {
  while (at < 81 && grid[at] != '.') at++;
  if (at == 81) return 1;
  for (char c = '1'; c <= '9'; c++) {
    int ok = 1, row = at / 9, column = at % 9;
    for (int i = 0; i < 9 && ok; i++)
      ok = grid[row * 9 + i] != c && grid[i * 9 + column] != c && grid[(row / 3 * 3 + i / 3) * 9 + column / 3 * 3 + i % 3] != c;
    if (!ok) continue;
    grid[at] = c;
    if (solve(grid, at + 1)) return 1;
    grid[at] = '.';
  }
  return 0;
}
static int queens(unsigned all, unsigned columns, unsigned left, unsigned right) {
  if (columns == all) return 1;
  int found = 0;
  for (unsigned free_ = all & ~(columns | left | right); free_; free_ &= free_ - 1) {
    unsigned bit = free_ & -free_;
    found += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return found;
}
static int match_here(const char *re, const char *s);
static int match_star(int c, const char *re, const char *s) {
  do if (match_here(re, s)) return 1; while (*s && (*s++ == c || c == '.'));
  return 0;
}
static int match_here(const char *re, const char *s) {
  if (!*re) return 1;
  if (re[1] == '*') return match_star(*re, re + 2, s);
  if (*re == '$' && !re[1]) return !*s;
  return *s && (*re == '.' || *re == *s) && match_here(re + 1, s + 1);
}
static int match(const char *re, const char *s) {
  if (*re == '^') return match_here(re + 1, s);
  do if (match_here(re, s)) return 1; while (*s++);
  return 0;
}

int main(void) {
  pi_digits(200);
  char grid[] = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79";
  printf("%d %s\n", solve(grid, 0), grid);
  printf("%d %d\n", queens(0xff, 0, 0, 0), queens(0x1ff, 0, 0, 0));
  static const char *const tests[][2] = {{"^a.*z$", "abcz"}, {"b*c", "aac"}, {"^x", "yx"}, {"a*a*a*b", "aaaaaaaaaaaaaaaac"}, {"o.d$", "hello world"}};
  for (size_t i = 0; i < 5; i++) printf("%d", match(tests[i][0], tests[i][1]));
  putchar('\n');
  return 0;
}
