#include "shared_definitions.h"
static Holder<int> one, two;
static Holder<double> three;
View view_there() { return VIEW; }
int next_there() { return next(); }
const Interface *make_there() { static Derived d; return &d; }
