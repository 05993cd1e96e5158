// A fortified call that sees the overflow ends the program with libc's message.
// Flags: -D_FORTIFY_SOURCE=2
// Optimised: yes, fortification needs -O1
// Signal: SIGABRT
#include <stdio.h>
#include <string.h>

static char small[4];
int main(int argc, char **argv) {
  (void)argv;
  puts("before");
  fflush(stdout);
  memset(small, 'x', (size_t)argc + 4);
  puts(small);
  return 0;
}
