// Todo: .preinit_array, which only executables have
#include <stdio.h>

static volatile int calls;
static void before(void) { calls = 1; }
__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = before;
__attribute__((constructor)) static void check(void) { calls = calls * 10; }

int main(void) {
  printf("%d\n", calls);
  return 0;
}
