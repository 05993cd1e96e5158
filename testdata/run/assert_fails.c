// A failing assertion names the program, the file, the line and the function.
// Signal: SIGABRT
#include <assert.h>
#include <stdio.h>

__attribute__((noinline)) static void check(int value) { assert(value == 1 && "one is wanted"); }

int main(int argc, char **argv) {
  (void)argv;
  check(argc);
  puts("passed once");
  fflush(stdout);
  check(argc + 1);
}
