// Symbols of a library by their version, as programs that are to run with an old C library ask for them.
#include <stdio.h>
#include <string.h>

__asm__(".symver old_memcpy, memcpy@GLIBC_2.2.5");
__asm__(".symver old_puts, puts@GLIBC_2.2.5");
extern void *old_memcpy(void *, const void *, size_t);
extern int old_puts(const char *);

int main(void) {
  char text[16];
  old_memcpy(text, "versioned", 10);
  old_puts(text);
  printf("%d %d\n", old_puts == puts, (void *)old_memcpy == NULL);
  return 0;
}
