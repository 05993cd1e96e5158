#include "thread_local_objects.h"
thread_local Named there("there");
int use_there() { return ++there.uses; }
int shared_there() { return Shared<int>::value++; }
