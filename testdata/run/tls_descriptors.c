// Pie-objects: no, their thread-local variables are local-exec
// Flags: -mtls-dialect=gnu2 -fPIC
#include <stdio.h>

_Thread_local int exported = 3;
static _Thread_local int local = 4;

int main(void) {
  printf("%d %d\n", exported++, local++);
  printf("%d %d\n", exported, local);
  return 0;
}
