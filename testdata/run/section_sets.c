// Arrays gathered by the linker: __start_/__stop_ over sections of two files, and own section names.
// Files: parts/section_sets_other.c
// Flags: -ffunction-sections -fdata-sections
#include <stdio.h>

struct entry { const char *name; int (*run)(int); };
#define ENTRY __attribute__((section("entries"), used, aligned(sizeof(void *))))
static int twice(int x) { return 2 * x; }
static int square(int x) { return x * x; }
static const struct entry first ENTRY = {"twice", twice};
static const struct entry second ENTRY = {"square", square};
extern const struct entry __start_entries[], __stop_entries[];

__attribute__((section("numbers"), used)) static int number = 1;
extern int __start_numbers[], __stop_numbers[];
extern char __start_absent[] __attribute__((weak)), __stop_absent[] __attribute__((weak));

__attribute__((section(".text.odd_place"), noinline)) static int odd(int x) { return x * 2 + 1; }
__attribute__((section(".data.odd.place"))) static int odd_data = 5;
__attribute__((section(".bss.odd"))) static int odd_zero;
__attribute__((section("my_code"), noinline)) static int elsewhere(int x) { return odd(x) + odd_data + odd_zero; }

int main(void) {
  for (const struct entry *e = __start_entries; e < __stop_entries; e++) printf("%s %d\n", e->name, e->run(7));
  for (int *n = __start_numbers; n < __stop_numbers; n++) printf("%d\n", *n += 10);
  printf("%d\n", __start_absent == NULL && __stop_absent == NULL);
  odd_zero = 100;
  printf("%d %d\n", elsewhere(3), number);
  return 0;
}
