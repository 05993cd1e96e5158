#include <stdio.h>
int needed(int);
int already_defined(void);
int used(int v) { return needed(v) * 10 + already_defined(); }
__attribute__((constructor)) static void begin(void) { puts("constructor of used"); }
