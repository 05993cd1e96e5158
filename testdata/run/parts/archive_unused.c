#include <stdio.h>
int missing_everywhere(void);
// Nobody may take this member: it defines again what main does, and needs what nobody has.
int already_defined(void) { return missing_everywhere(); }
int weakly_wanted(void) { return 1; }
__attribute__((constructor)) static void begin(void) { puts("never"); }
