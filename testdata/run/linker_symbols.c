// Symbols that the linker makes.
#include <stdint.h>
#include <stdio.h>

extern char end[], _end[], edata[], _edata[], etext[], _etext[], __bss_start[];
extern void *__dso_handle;
static char zeroed[10000];
static int data = 5;

int main(void) {
  uintptr_t z = (uintptr_t)zeroed, d = (uintptr_t)&data, m = (uintptr_t)main;
  uintptr_t e = (uintptr_t)end, f = (uintptr_t)edata, t = (uintptr_t)etext;
  printf("%d %d %d\n", e == (uintptr_t)_end, f == (uintptr_t)_edata, t == (uintptr_t)_etext);
  printf("%d\n", z + sizeof zeroed <= (uintptr_t)end && z >= (uintptr_t)__bss_start);
  printf("%d %d\n", d < (uintptr_t)edata, m < (uintptr_t)etext);
  printf("%d\n", (uintptr_t)&__dso_handle != 0);
  return 0;
}
