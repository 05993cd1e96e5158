// Weak, weak undefined, aliases, hidden, protected, internal, static and equal names in two files.
// Files: parts/symbol_kinds_other.c
#include <stdio.h>

__attribute__((weak)) int overridden(void) { return 1; }
int override_here(void) { return 20; }
__attribute__((weak)) int only_weak(void) { return 300; }
__attribute__((weak)) int weak_variable = 4;
extern int missing_function(void) __attribute__((weak));
extern int missing_variable __attribute__((weak));
static int original(void) { return 5; }
int alias(void) __attribute__((alias("original")));
int weak_alias(void) __attribute__((weak, alias("original")));
int base_variable = 60;
extern int alias_variable __attribute__((alias("base_variable")));
__attribute__((visibility("hidden"))) int hidden_here = 7;
__attribute__((visibility("protected"))) int protected_here = 8;
extern int hidden_there(void), protected_there(void), internal_there(void);
extern int other_sees(void);
static int same_name(void) { return 9; }
static int same_variable = 10;
int other_same(void);
// Names that libc uses too: a program may define them for itself.
int optind = 11;
void warn(int value) { printf("own warn %d\n", value); }
double gamma(double x) { return x + 1000; }
extern int (*const table_there[])(void);
int asm_named(void) __asm__("name$with.odd_characters");
int (*volatile maybe)(void) = missing_function;

int main(void) {
  printf("%d %d %d %d\n", overridden(), override_here(), only_weak(), weak_variable);
  printf("%d %d %d\n", missing_function == NULL, &missing_variable == NULL, maybe == NULL);
  if (missing_function) puts("impossible");
  printf("%d %d %d %d\n", alias(), weak_alias(), alias_variable, alias == weak_alias);
  alias_variable = 61;
  printf("%d %d\n", base_variable, &alias_variable == &base_variable);
  printf("%d %d %d %d\n", hidden_there(), protected_there(), internal_there(), other_sees());
  printf("%d %d %d\n", same_name() + same_variable, other_same(), optind);
  warn(12);
  printf("%g %d %d\n", gamma(1), table_there[0](), table_there[1] == override_here);
  printf("%d\n", asm_named());
  return 0;
}
