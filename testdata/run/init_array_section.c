// Constructors placed in .init_array and .fini_array by hand.
#include <stdio.h>

static int calls;
static void start(int argc, char **argv, char **envp) {
  calls += argc == 1 && argv[1] == NULL && envp != NULL;
}
static void end(void) { printf("end %d\n", calls); }
#define IN(section_name) __attribute__((section(section_name), used))
typedef void starter(int, char **, char **);
IN(".init_array") static starter *const once = start;
IN(".init_array") static starter *const again = start;
IN(".fini_array") static void (*const at_end)(void) = end;

int main(void) {
  printf("main %d\n", calls);
  return 0;
}
