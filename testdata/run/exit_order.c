// exit() deep in the stack: atexit handlers backwards, then destructors by priority, then buffers.
// Files: parts/exit_order_other.c
// Exit: 42
#include <stdio.h>
#include <stdlib.h>

void other_registers(void);

static void first(void) { puts("atexit first"); }
static void second(void) { puts("atexit second"); }
static void nested(void) { puts("atexit from an atexit handler"); }
static void third(void) {
  puts("atexit third");
  atexit(nested);
}
static void with_status(int status, void *what) { printf("on_exit %d %s\n", status, (char *)what); }
int on_exit(void (*)(int, void *), void *);

__attribute__((constructor(102))) static void early(void) { puts("constructor 102"); }
__attribute__((constructor(101))) static void earliest(void) { puts("constructor 101"); }
__attribute__((constructor)) static void plain(void) { puts("constructor plain"); }
__attribute__((destructor(101))) static void latest(void) { puts("destructor 101"); }
__attribute__((destructor(102))) static void late(void) { puts("destructor 102"); }
__attribute__((destructor)) static void plain_end(void) { puts("destructor plain"); }

__attribute__((noinline)) static void dive(int depth) {
  if (depth == 0) exit(42);
  dive(depth - 1);
  puts("never");
}

int main(void) {
  atexit(first);
  atexit(second);
  other_registers();
  on_exit(with_status, "argument");
  atexit(third);
  dive(100);
}
