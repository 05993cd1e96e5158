#include "shared.h"

int other(Pair *pair);
thread_local int n_calls;
static const char *const names[] = {"one", "two", "three"};

__attribute__((noinline)) static int only_here(int x) { return x * LIMIT + n_calls; }

extern "C" int twice(int x) {
    n_calls++;
    Pair pair{{shared_inline(x)}, {2}};
    return only_here(other(&pair)) + names[x % 3][0];
}
