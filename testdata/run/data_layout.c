// Large zeroed and initialised data, alignments up to a page, constants, pointers between them.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned char zeroed[48 << 20];
static uint32_t filled[1 << 18] = {[0] = 1, [1000] = 2, [(1 << 18) - 1] = 3};
static _Alignas(64) char line[64] = "sixty-four";
_Alignas(4096) char page[4096] = "a page";
_Alignas(4096) static char zero_page[100];
_Alignas(4096) const char constant_page[10] = "constant";
static const double table[] = {1.0, 2.5, -3.75};
static const double *const inside = &table[2];
static const char *const texts[] = {"alpha", "beta", "alpha"};
static const struct node { const struct node *next; int value; } a, c = {&a, 3}, b = {&c, 2}, a = {&b, 1};
static char *cursor = page + 2;
static uintptr_t difference(const void *x, const void *y) { return (uintptr_t)x - (uintptr_t)y; }
extern int declared_later;
static int *const to_later = &declared_later;
int declared_later = 77;
char one_byte;
static const long double precise = 1.0L / 3;

int main(void) {
  printf("%d %d %d %d\n", (int)((uintptr_t)line % 64), (int)((uintptr_t)page % 4096), (int)((uintptr_t)zero_page % 4096), (int)((uintptr_t)constant_page % 4096));
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof zeroed; i += 4096) sum += zeroed[i];
  memset(zeroed + (40 << 20), 1, 1 << 20);
  for (size_t i = 0; i < sizeof zeroed; i += 4096) sum += zeroed[i];
  for (size_t i = 0; i < 1 << 18; i++) sum += filled[i] * 1000;
  printf("%u\n", sum);
  filled[5] = 5;
  page[4095] = zero_page[99] = 'e';
  printf("%s %s %s %c %c\n", line, page, constant_page, page[4095], zero_page[99]);
  printf("%g %s%s%s %s\n", *inside, texts[0], texts[1], texts[2], cursor);
  int total = 0;
  const struct node *at = &b;
  for (int i = 0; i < 7; i++, at = at->next) total = total * 4 + at->value;
  printf("%d %d %d %d\n", total, *to_later, one_byte, (int)difference(&filled[10], filled));
  printf("%.20Lg\n", precise);
  return 0;
}
