#include "shared.h"

int other(Pair *pair) { return pair->first.get() + static_cast<int>(pair->second.get()) + shared_inline(LIMIT); }
