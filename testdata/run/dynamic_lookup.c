// dlsym, dlopen and what the running system tells of itself.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  size_t (*length)(const char *) = (size_t (*)(const char *))dlsym(RTLD_DEFAULT, "strlen");
  printf("%zu\n", length("12345"));
  printf("%d %d\n", dlsym(RTLD_DEFAULT, "no_such_symbol_anywhere") == NULL, dlerror() != NULL);
  void *math = dlopen("libm.so.6", RTLD_NOW);
  double (*cosine)(double) = (double (*)(double))dlsym(math, "cos");
  printf("%.3f %d\n", cosine(0), dlclose(math));
  printf("%d\n", dlopen("libdoes_not_exist.so", RTLD_NOW) == NULL);
  Dl_info info;
  printf("%d\n", dladdr((void *)(size_t)dlsym(RTLD_DEFAULT, "malloc"), &info) != 0 && strcmp(info.dli_sname, "malloc") == 0);
  printf("%lu %ld %d\n", getauxval(AT_PAGESZ), sysconf(_SC_PAGESIZE), getauxval(AT_SECURE) == 0);
  struct utsname name;
  uname(&name);
  printf("%s %s\n", name.sysname, name.machine);
  time_t now = time(NULL), epoch = 86400 * 365;
  struct timespec monotonic;
  printf("%d %d\n", now > 1600000000, clock_gettime(CLOCK_MONOTONIC, &monotonic));
  struct tm broken;
  char text[64];
  gmtime_r(&epoch, &broken);
  strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %A", &broken);
  puts(text);
  printf("%d\n", getpid() > 1 && getppid() > 0 && environ != NULL);
  return 0;
}
