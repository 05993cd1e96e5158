#pragma once
#include <cstdio>
struct Loud {
  const char *name;
  explicit Loud(const char *n) : name(n) { std::printf("+ %s\n", name); }
  ~Loud() { std::printf("- %s\n", name); }
  void touch() { std::printf("touch %s\n", name); }
};
int value_there();
void local_there();
