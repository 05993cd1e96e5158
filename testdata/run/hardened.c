// The options of a distribution's build: fortified calls, stack protector, control-flow protection, no PLT.
// Flags: -D_FORTIFY_SOURCE=2 -fstack-protector-all -fstack-clash-protection -fcf-protection=full -fno-plt -g -ffunction-sections
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char target[16];
__attribute__((noinline)) static void copy(const char *from, size_t n) { memcpy(target, from, n); }
__attribute__((noinline)) static size_t probe(size_t n) {
  char room[40000];
  memset(room, 'r', n);
  room[n] = 0;
  return strlen(room);
}

int main(int argc, char **argv) {
  (void)argv;
  char text[32];
  snprintf(text, sizeof text, "%d %s", argc, "fortified");
  copy(text, strlen(text) + 1);
  strcat(text, "!");
  printf("%s %s %zu\n", text, target, probe((size_t)argc * 30000));
  fprintf(stderr, "%.3f\n", argc / 8.0);
  return 0;
}
