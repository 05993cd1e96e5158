// What ends the process that calls it, and what does not.

int crash(void) { __builtin_trap(); }

int one(void) { return 1; }
