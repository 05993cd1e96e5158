// An exception out of a static constructor.
// Signal: SIGABRT
#include <iostream>

struct Early {
  Early() { std::cout << "constructing" << std::endl; throw 5; }
};
static Early early;
int main() { std::cout << "never" << std::endl; }
