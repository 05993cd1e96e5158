#include <stdio.h>
int common_to_all = 7;
int needed(int v) { return v + common_to_all; }
__attribute__((constructor)) static void begin(void) { puts("constructor of needed"); }
__attribute__((destructor)) static void end(void) { puts("destructor of needed"); }
