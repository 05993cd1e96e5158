// Constructors placed in .init_array and .fini_array by hand.
#include <stdio.h>

static int calls;
static void start(int argc, char **argv, char **envp) {
  calls += argc == 1 && argv[1] == NULL && envp != NULL;
}
static void end(void) { printf("end %d\n", calls); }
__attribute__((section(".init_array"), used)) static void (*const starters[])(int, char **, char **) = {start, start};
__attribute__((section(".fini_array"), used)) static void (*const enders[])(void) = {end};

int main(void) {
  printf("main %d\n", calls);
  return 0;
}
