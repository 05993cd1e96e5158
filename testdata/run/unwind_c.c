// Walking the stack of C code: the unwinder sees every frame of the program.
#include <stdio.h>
#include <unwind.h>

static volatile int sink;
static int frames, hits;
static char *low, *high;
static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *unused) {
  (void)unused;
  frames++;
  char *ip = (char *)_Unwind_GetIP(context);
  hits += ip >= low && ip < high;
  return _URC_NO_REASON;
}
__attribute__((noinline)) static int recurse(int n) {
  volatile char room[100];
  room[n % 100] = 1;
  if (n == 0) {
    _Unwind_Backtrace(step, NULL);
    return room[0];
  }
  int r = recurse(n - 1);
  sink += r;
  return r + room[n % 100];
}

int main(void) {
  low = (char *)recurse;
  high = low + 400;
  printf("%d\n", recurse(20));
  printf("%d %d\n", frames >= 22, hits >= 21);
  printf("%d\n", _Unwind_FindEnclosingFunction((void *)(low + 8)) == (void *)low);
  return 0;
}
