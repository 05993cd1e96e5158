#pragma once
#include <stdexcept>
struct Special : std::runtime_error {
  int value;
  explicit Special(int v) : runtime_error("special"), value(v) {}
};
template <class T> struct Template { T value; };
struct __attribute__((visibility("hidden"))) Hidden { int value; };
void throw_kind(int kind);
int catches(void (*f)());
extern "C" void through_c(void (*f)(int), int n);
extern "C" int c_progress;
