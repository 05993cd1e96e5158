// An exception that nobody catches: terminate names its type and text, then aborts.
// Signal: SIGABRT
#include <iostream>
#include <stdexcept>

struct Quiet { ~Quiet() { std::cout << "not unwound\n"; } };

int main() {
  std::cout << "before" << std::endl;
  Quiet quiet;
  throw std::runtime_error("nobody listens");
}
