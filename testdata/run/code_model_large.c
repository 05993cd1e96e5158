// The large code model: 64-bit addresses in instructions, GOT offsets from its base.
// Flags: -mcmodel=large -fPIC
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int numbers[1000];
int shown = 3;
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int visible(int x) { return x + shown; }

int main(void) {
  for (int i = 0; i < 1000; i++) numbers[i] = (i * 7919) % 1009;
  qsort(numbers, 1000, sizeof *numbers, compare);
  printf("%d %d %d %s\n", numbers[0], numbers[500], visible(numbers[999]), strerror(0));
  return 0;
}
