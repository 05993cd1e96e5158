// Constructors, destructors, exit handlers, relocated data and imports of each kind.
int one(int);
extern int two;
int three(void) __attribute__((weak));
int atexit(void (*)(void));
static int count;
static void at_exit(void) { count--; }
__attribute__((constructor)) static void first(void) { count++; atexit(at_exit); }
__attribute__((constructor(101))) static void second(void) { count += 2; }
__attribute__((destructor)) static void last(void) { count = 0; }
int (*functions[])(int) = { one, one, 0 };
int *const variables[] = { &two, &count };
const char *const names[] = { "one", "two", "three" };
int call(int index) { return functions[index](*variables[index]) + (three ? three() : 0) + names[index][0]; }
