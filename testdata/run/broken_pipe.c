// Writing to a pipe that nobody reads: SIGPIPE, since a program starts with default dispositions.
// Signal: SIGPIPE
#include <stdio.h>
#include <unistd.h>

int main(void) {
  int ends[2];
  if (pipe(ends) != 0) return 1;
  close(ends[0]);
  puts("before");
  fflush(stdout);
  ssize_t n = write(ends[1], "x", 1);
  printf("survived: %zd\n", n);
  return 2;
}
