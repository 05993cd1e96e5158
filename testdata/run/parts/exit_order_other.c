#include <stdio.h>
#include <stdlib.h>

static void handler(void) { puts("atexit of the other file"); }
void other_registers(void) { atexit(handler); }

__attribute__((constructor(101))) static void earliest(void) { puts("other constructor 101"); }
__attribute__((constructor)) static void plain(void) { puts("other constructor plain"); }
__attribute__((destructor(101))) static void latest(void) { puts("other destructor 101"); }
__attribute__((destructor)) static void plain_end(void) { puts("other destructor plain"); }
