#pragma once
#include <typeinfo>
inline int constructed = 0;
struct Counted { Counted() { constructed++; } };
inline Counted counted_once;
inline int counter = 100;
inline int next() { static int n = [] { constructed += 10; return 0; }(); return ++n; }
inline int *local() { static int n = 5; return &n; }
inline constexpr double constant[] = {1, 2, 3};
template <class T> struct Holder {
  static inline int created = 0;
  static T member;
  Holder() { created++; }
};
template <class T> T Holder<T>::member = T(7);
template <class T> T instance(T v) { return v + 1; }
struct Interface { virtual ~Interface() = default; };
struct Derived : Interface { int value = 33; };
struct View {
  int (*function)();
  int *variable, *local;
  int (*instance)(int);
  int *member;
  const std::type_info *type;
  const double *constant;
};
#define VIEW {next, &counter, local(), instance<int>, &Holder<int>::member, &typeid(Derived), constant}
View view_there();
int next_there();
const Interface *make_there();
