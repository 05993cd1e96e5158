#include "static_order.h"
#include <cstdlib>
static int with_dynamic_value = std::atoi("40");
__attribute__((init_priority(150))) Loud there("priority 150 of other");
Loud last("global of other");
int value_there() { return with_dynamic_value; }
void local_there() { static Loud l("static local of other"); }
