// A constructor that ends the program: main is never entered, handlers run.
// Exit: 5
#include <stdio.h>
#include <stdlib.h>

static void handler(void) { puts("handler"); }
__attribute__((constructor)) static void leave(void) {
  puts("constructor");
  atexit(handler);
  exit(5);
}
__attribute__((destructor)) static void end(void) { puts("destructor"); }

int main(void) {
  puts("never");
  return 0;
}
