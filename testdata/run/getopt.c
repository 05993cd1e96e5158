// Variables that libc owns and the program writes: optind and its kin, stdout, timezone.
// Args: -v -n 5 --name=far --flag rest more
// Env: TZ=UTC
#define _GNU_SOURCE
#include <getopt.h>
#include <stdio.h>
#include <time.h>

int main(int argc, char **argv) {
  static int flag;
  static const struct option options[] = {{"name", required_argument, NULL, 'N'}, {"flag", no_argument, &flag, 7}, {0}};
  int option;
  opterr = 0;
  while ((option = getopt_long(argc, argv, "vn:", options, NULL)) != -1)
    printf("%d %s\n", option, optarg ? optarg : "-");
  printf("flag %d, rest from %d\n", flag, optind);
  optind = 1;
  printf("%c %d\n", getopt(argc, argv, "v"), optind);
  tzset();
  printf("%ld %s\n", timezone, tzname[0]);
  FILE *saved = stdout;
  stdout = stderr;
  printf("to the other stream\n");
  stdout = saved;
  puts("back");
  return 0;
}
