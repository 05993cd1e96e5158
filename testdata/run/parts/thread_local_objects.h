#pragma once
#include <iostream>
struct Named {
  const char *name;
  int uses = 0;
  explicit Named(const char *n) : name(n) { std::cout << "+ " << name << '\n'; }
  ~Named() { std::cout << "- " << name << ' ' << uses << '\n'; }
};
extern thread_local Named there;
template <class T> struct Shared { static thread_local T value; };
template <class T> thread_local T Shared<T>::value = T(50);
int use_there();
int shared_there();
