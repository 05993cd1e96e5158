// abort: a SIGABRT handler that returns does not save the program.
// Signal: SIGABRT
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void handler(int number) {
  (void)number;
  write(1, "handler\n", 8);
}
static void never(void) { puts("never"); }

int main(void) {
  atexit(never);
  signal(SIGABRT, handler);
  puts("before");
  fflush(stdout);
  abort();
}
