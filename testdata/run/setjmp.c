// setjmp and longjmp: values, loops, several levels, volatile locals.
#include <setjmp.h>
#include <stdio.h>

static jmp_buf outer, inner;
__attribute__((noinline)) static void thrower(int depth, int value) {
  if (depth > 0) thrower(depth - 1, value);
  longjmp(value > 2 ? outer : inner, value);
}

int main(void) {
  volatile int rounds = 0;
  int value = setjmp(outer);
  printf("outer %d\n", value);
  if (value < 5) {
    rounds++;
    volatile int kept = rounds * 10;
    int got = setjmp(inner);
    printf("inner %d kept %d\n", got, kept);
    if (got == 0) thrower(50, 1);
    if (got == 1) thrower(5, 2);
    thrower(1, value < 3 ? 3 : value + 1);
  }
  if (setjmp(inner) == 0) longjmp(inner, 0);
  else puts("zero becomes one");
  printf("rounds %d\n", rounds);
  return 0;
}
