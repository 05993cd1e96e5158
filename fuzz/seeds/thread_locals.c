// Thread-local variables in the general-dynamic model, with relocated initial values.
extern __thread int four __attribute__((weak));
static int shared = 7;
__thread int *pointer = &shared;
__thread int zero;
static __thread char aligned[3] __attribute__((aligned(64))) = "ab";
int next(void) { return ++zero + *pointer + aligned[0]; }
int *others(void) { return &four; }
