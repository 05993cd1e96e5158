// Tentative definitions as common symbols: the largest size and alignment win, a definition beats them.
// Files: parts/common_symbols_other.c
// Flags: -fcommon
#include <stdint.h>
#include <stdio.h>

int shared;
char sized[10];
_Alignas(256) char aligned[3];
double defined_there;
static int own;
void fill(void);

int main(void) {
  fill();
  shared++;
  own++;
  printf("%d %d %d %g %d\n", shared, sized[9], sized[0], defined_there, own);
  printf("%d %c\n", (int)((uintptr_t)aligned % 256), aligned[0]);
  return 0;
}
