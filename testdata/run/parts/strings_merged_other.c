const char *const others[] = {"shared text", "text", "a tail", "tail", "", "x\0y"};
const double other_constants[] = {3.14159, 2.71828, 0.1};
