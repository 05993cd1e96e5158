// Deep recursion within the limit, large frames, alloca and variable-length arrays.
#include <alloca.h>
#include <stdio.h>
#include <string.h>

static volatile unsigned keep = 1;
__attribute__((noinline)) static unsigned deep(unsigned n) {
  volatile unsigned here = n;
  return n == 0 ? 0 : deep(n - 1) * keep + here % 7;
}
__attribute__((noinline)) static unsigned large_frame(unsigned seed) {
  unsigned char block[2 << 20];
  memset(block, (int)seed, sizeof block);
  block[seed] = 3;
  unsigned sum = 0;
  for (unsigned i = 0; i < sizeof block; i += 4096) sum += block[i];
  return sum + block[seed];
}
__attribute__((noinline)) static int variable(int n, int grid[n][n + 1]) {
  int row[n], sum = 0;
  for (int i = 0; i < n; i++) {
    row[i] = 0;
    for (int j = 0; j <= n; j++) row[i] += grid[i][j];
    sum += row[i];
  }
  return sum + (int)(sizeof row / sizeof *row);
}

int main(void) {
  printf("%u\n", deep(60000));
  printf("%u\n", large_frame(200));
  for (int n = 1; n < 40; n += 12) {
    int grid[n][n + 1];
    for (int i = 0; i < n; i++)
      for (int j = 0; j <= n; j++) grid[i][j] = i * j;
    printf("%d ", variable(n, grid));
  }
  char *text = alloca(300000);
  memset(text, 'z', 299999);
  text[299999] = 0;
  printf("%zu\n", strlen(text));
  return 0;
}
