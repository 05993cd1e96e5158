// A call of a pure virtual function from a constructor.
// Signal: SIGABRT
#include <iostream>

struct Shape {
  Shape() { describe(); }
  virtual ~Shape() = default;
  void describe() { std::cout << "about to call" << std::endl; area(); }
  virtual double area() const = 0;
};
struct Square : Shape { double area() const override { return 1; } };
int main() { Square s; std::cout << "never" << std::endl; }
