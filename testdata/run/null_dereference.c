// Reading address 0 ends the program as it does natively: silently, by SIGSEGV.
// Signal: SIGSEGV
#include <stdio.h>

int main(void) {
  puts("before");
  fflush(stdout);
  volatile int *volatile nowhere = NULL;
  return *nowhere;
}
