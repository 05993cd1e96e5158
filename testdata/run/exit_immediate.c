// _Exit runs no handler and flushes nothing.
// Exit: 7
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void handler(void) { write(1, "never\n", 6); }
__attribute__((destructor)) static void end(void) { write(1, "never\n", 6); }

int main(void) {
  atexit(handler);
  setvbuf(stdout, NULL, _IOFBF, 4096);
  printf("lost");
  write(1, "kept\n", 5);
  _Exit(7);
}
