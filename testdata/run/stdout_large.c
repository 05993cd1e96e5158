// More than a megabyte to standard output through each layer, and some to standard error.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
  for (int i = 0; i < 60000; i++) printf("line %d of many\n", i);
  fputs("to standard error\n", stderr);
  fflush(stdout);
  char block[1000];
  for (int i = 0; i < 400; i++) {
    memset(block, 'a' + i % 26, sizeof block - 1);
    block[sizeof block - 1] = '\n';
    if (write(STDOUT_FILENO, block, sizeof block) != sizeof block) return 1;
  }
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  for (int i = 0; i < 200000; i++) putchar_unlocked("0123456789abcdef"[i % 16]);
  fputs("end, left in the buffer", stdout);
  return 0;
}
