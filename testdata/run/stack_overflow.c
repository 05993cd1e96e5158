// Endless recursion: SIGSEGV, and no word on standard error from any runtime.
// Signal: SIGSEGV
#include <stdio.h>

static volatile int never;
static int use(volatile char *bytes) { return bytes[0] + bytes[1023]; }
__attribute__((noinline)) static int deeper(int depth) {
  volatile char room[1024];
  room[0] = (char)depth;
  room[1023] = 1;
  if (never) return use(room);
  return deeper(depth + 1) + use(room);
}

int main(void) {
  puts("before");
  fflush(stdout);
  return deeper(0);
}
