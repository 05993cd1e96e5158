#pragma once
#include <iostream>
struct Loud {
  const char *name;
  explicit Loud(const char *n) : name(n) { std::cout << "+ " << name << '\n'; }
  ~Loud() { std::cout << "- " << name << '\n'; }
  void touch() { std::cout << "touch " << name << '\n'; }
};
int value_there();
void local_there();
