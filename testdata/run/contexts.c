// Stacks of one's own: makecontext and swapcontext, a generator by hand.
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

static ucontext_t caller, generator, finisher;
static int yielded, done;
static void give(int v) {
  yielded = v;
  swapcontext(&generator, &caller);
}
static void fibonacci(int n) {
  int a = 0, b = 1;
  for (int i = 0; i < n; i++) {
    give(a);
    int next = a + b;
    a = b, b = next;
  }
}
static void finish(void) {
  done = 1;
  setcontext(&caller);
}

int main(void) {
  char *one = malloc(1 << 16), *two = malloc(1 << 16);
  getcontext(&finisher);
  finisher.uc_stack.ss_sp = two;
  finisher.uc_stack.ss_size = 1 << 16;
  makecontext(&finisher, finish, 0);
  getcontext(&generator);
  generator.uc_stack.ss_sp = one;
  generator.uc_stack.ss_size = 1 << 16;
  generator.uc_link = &finisher;
  makecontext(&generator, (void (*)(void))fibonacci, 1, 20);
  for (;;) {
    swapcontext(&caller, &generator);
    if (done) break;
    printf("%d ", yielded);
  }
  puts("done");
  free(one), free(two);
  return 0;
}
