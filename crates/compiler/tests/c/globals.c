// Every way in which C code reaches data and functions, its own and others'.
extern int imported_number;
extern int imported(int);
extern int maybe(void) __attribute__((weak));
extern _Thread_local int imported_per_thread;

_Thread_local int own_per_thread = 3;
static _Thread_local int internal_per_thread;
static _Thread_local int another_per_thread = 5;
int own_number = 1;
int zero;
const char *const names[] = {"one", "two"};

static int internal(int x) { return x * internal_per_thread + own_number; }
int own(int x) { return x + zero; }
inline int inline_elsewhere(int x) { return x ^ own_number; }
__attribute__((visibility("hidden"))) int hidden(int x) { return x - 1; }

int (*const table[])(int) = {imported, internal, own, hidden};
int (*changing)(int) = imported;
int (*address(void))(int) { return imported; }
int (*own_address(void))(int) { return own; }

int choose(int x) {
  switch (x) {
  case 0: return own_number;
  case 1: return imported(x);
  case 2: return own(x);
  case 3: return zero;
  case 4: return imported_number;
  case 5: return names[0][x];
  default: return inline_elsewhere(x);
  }
}

int everything(int x) {
  internal_per_thread = x + another_per_thread;
  own_per_thread += imported_per_thread;
  if (maybe)
    x += maybe();
  __builtin_printf("%d\n", x);
  return imported(x) + imported_number + internal(x) + table[x & 3](x) + changing(x) + choose(x);
}
