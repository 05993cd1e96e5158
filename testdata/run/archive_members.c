// Members of an archive: taken when they define what is missing, also for one another; never otherwise.
// Archive: parts/archive_used.c parts/archive_needed.c parts/archive_unused.c
#include <stdio.h>

int used(int);
int already_defined(void);
int already_defined(void) { return 5; }
extern int weakly_wanted(void) __attribute__((weak));

__attribute__((constructor)) static void begin(void) { puts("constructor of main"); }

int main(void) {
  printf("%d %d\n", used(3), already_defined());
  // A weak reference takes no member.
  printf("%d\n", weakly_wanted == NULL);
  return 0;
}
