// What libc thinks the program is called, in its own messages.
// Exit: 3
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <error.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  (void)argc;
  const char *slash = strrchr(argv[0], '/');
  const char *name = slash ? slash + 1 : argv[0];
  printf("%d\n", strcmp(name, program_invocation_short_name));
  fflush(stdout);
  warnx("a warning with %d", 42);
  errno = ENOENT;
  warn("no such %s", "thing");
  errno = EACCES;
  perror("a prefix");
  errx(3, "the end");
}
