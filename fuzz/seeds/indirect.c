// Indirect functions: exported, local, and in words of data.
static int plain(int value) { return value + 1; }
static int (*choose(void))(int) { return plain; }
int chosen(int) __attribute__((ifunc("choose")));
static int hidden(int) __attribute__((ifunc("choose")));
int (*pointers[])(int) = { chosen, hidden };
int use(int value) { return chosen(value) + hidden(value) + pointers[value](value); }
