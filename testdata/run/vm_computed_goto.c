// An interpreter with computed goto: addresses of labels in a constant table.
#include <stdint.h>
#include <stdio.h>

enum { PUSH, ADD, MUL, MOD, DUP, SWAP, DROP, LOAD, STORE, JUMPZ, JUMP, LESS, PRINT, HALT };

static int64_t run(const int32_t *code) {
  static const void *const labels[] = {&&push, &&add, &&mul, &&mod, &&dup, &&swap, &&drop,
                                       &&load, &&store, &&jumpz, &&jump, &&less, &&print, &&halt};
  int64_t stack[64], slots[16] = {0}, *top = stack - 0, t;
  const int32_t *at = code;
  int64_t steps = 0;
#define NEXT steps++; goto *labels[*at++]
  NEXT;
push: *top++ = *at++; NEXT;
add: top--; top[-1] += top[0]; NEXT;
mul: top--; top[-1] *= top[0]; NEXT;
mod: top--; top[-1] %= top[0]; NEXT;
dup: top[0] = top[-1]; top++; NEXT;
swap: t = top[-1]; top[-1] = top[-2]; top[-2] = t; NEXT;
drop: top--; NEXT;
load: *top++ = slots[*at++]; NEXT;
store: slots[*at++] = *--top; NEXT;
jumpz: t = *at++; if (*--top == 0) at = code + t; NEXT;
jump: at = code + *at; NEXT;
less: top--; top[-1] = top[-1] < top[0]; NEXT;
print: printf("%lld\n", (long long)*--top); NEXT;
halt: return steps;
}

int main(void) {
  // for (i = 0, x = 1; i < 300000; i++) x = (x * 48271 + i) % 2147483647
  static const int32_t program[] = {
      PUSH, 0, STORE, 0, PUSH, 1, STORE, 1,
      /* 8 */ LOAD, 0, PUSH, 300000, LESS, JUMPZ, 34,
      LOAD, 1, PUSH, 48271, MUL, LOAD, 0, ADD, PUSH, 2147483647, MOD, STORE, 1,
      LOAD, 0, PUSH, 1, JUMP, 38,
      /* 34 */ LOAD, 1, PRINT, HALT, /* 38 */ ADD, STORE, 0, PUSH, 5, DUP, SWAP, DROP, DROP, JUMP, 8};
  printf("%lld steps\n", (long long)run(program));
  return 0;
}
