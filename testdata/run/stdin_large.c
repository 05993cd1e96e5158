// A large standard input, summed and echoed in part.
// Stdin-lines: 100000
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
  char buffer[4096];
  uint64_t hash = 1469598103934665603u, lines = 0, bytes = 0;
  // The first bytes by stdio, what its buffer holds by fread, all beyond it by read(2).
  for (int i = 0; i < 20; i++) {
    int c = getchar();
    hash = (hash ^ (uint64_t)c) * 1099511628211u;
    lines += c == '\n';
    bytes++;
  }
  size_t n;
  while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0)
    for (size_t i = 0; i < n; i++) {
      hash = (hash ^ (unsigned char)buffer[i]) * 1099511628211u;
      lines += buffer[i] == '\n';
      bytes++;
    }
  printf("%llu lines, %llu bytes, %016llx, then %zd\n", (unsigned long long)lines,
         (unsigned long long)bytes, (unsigned long long)hash, read(0, buffer, 1));
  return 0;
}
