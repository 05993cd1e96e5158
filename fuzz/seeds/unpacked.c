// An image that refers to its own headers has its segments next to each other.
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
static int counts[5000];
int first(void) { return __ehdr_start[counts[0]++]; }
